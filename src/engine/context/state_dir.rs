//! The state directory: the catalog, the signing keys and the locks.
//!
//! Its mode is 0700, and that of its files 0600. It also holds `signing.grant`: the root key's signature over
//! the signing key. With it, the ledger of a new source can be opened while the root secret stays in the
//! recovery kit.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::catalog::Catalog;
use crate::config::PruneMode;
use crate::engine::context::private_file::{keep, remove_if_there, replace, write_new};
use crate::error::{Error, KeyError, RequestError};
use crate::ledger::{PublicKey, SigningKey, make_grant, verify_grant};
use crate::model::SourceName;
use crate::model::entry::{KeyGrant, Role};
use crate::owned::{self, OpenError};

const SIGNING_KEY: &str = "signing.key";
const SIGNING_PUB: &str = "signing.pub";
const SIGNING_GRANT: &str = "signing.grant";
const ROOT_PUB: &str = "root.pub";

/// A new signing key that is being granted its roles. It replaces the old one once it has them.
const COMING_KEY: &str = "signing.key.new";

/// The state directory of one machine.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Whether the catalog file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum CatalogFile {
    There,
    /// There is no file, or it is empty.
    Missing,
}

/// The key that a writer signs with, and the root key that it trusts.
#[derive(Debug)]
pub struct Keys {
    /// Signs entries.
    pub signing: SigningKey,
    /// The signing key and its roles, signed by the root key. A machine whose key was added to existing
    /// ledgers has none, and can't open a new one.
    grant: Option<KeyGrant>,
    /// The root key.
    pub root: PublicKey,
    state_dir: PathBuf,
}

impl Keys {
    /// Returns the root key as the signing key too. It is for entries that change keys.
    pub(in crate::engine) fn of_root(root: &SigningKey) -> Result<Self, Error> {
        Ok(Self {
            root: root.public(),
            signing: SigningKey::from_file_text(&root.to_file_text())?,
            grant: None,
            state_dir: PathBuf::new(),
        })
    }

    /// Returns the root key's grant for the signing key. Opening a ledger needs it.
    pub fn grant(&self) -> Result<&KeyGrant, Error> {
        let grant = self.grant.as_ref().ok_or_else(|| KeyError::NoKeys {
            state_dir: self.state_dir.clone(),
            file: SIGNING_GRANT,
        })?;
        // The two files may not match: a run died between them, or somebody copied only one of them.
        let is_ours = verify_grant(&self.root, grant).is_ok_and(|key| key == self.signing.public());
        if is_ours && grant.roles.contains(&Role::Writer) {
            Ok(grant)
        } else {
            Err(KeyError::OtherGrant(self.state_dir.join(SIGNING_GRANT)).into())
        }
    }

    /// Refuses, before any work is done, a run that would have to open a ledger and has no grant for it.
    pub(in crate::engine) fn require_grant(
        &self,
        source: &SourceName,
        catalog: &Catalog,
    ) -> Result<(), Error> {
        let opened = match catalog.source(source)? {
            Some(row) => !catalog.entries(&row.ledger)?.is_empty(),
            None => false,
        };
        if !opened {
            self.grant()?;
        }
        Ok(())
    }
}

/// Keys that `init` has made.
#[derive(Debug)]
pub struct NewKeys {
    /// The root key. Its secret belongs in the recovery kit, and only there.
    pub root: SigningKey,
    /// Signs entries on this machine.
    pub signing: SigningKey,
    /// The root key's grant for the signing key.
    pub grant: KeyGrant,
}

impl StateDir {
    /// Returns the state directory at a path, which need not exist.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Refuses a directory that exists and that other users can change.
    pub fn require_ours(&self) -> Result<(), Error> {
        owned::require(&self.path).map_err(Error::Untrusted)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::engine) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the directory if it is missing.
    pub fn create(&self) -> Result<(), Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|source| Error::file("create", &self.path, source))
    }

    /// Opens the catalog, and makes it if it is missing.
    pub fn catalog(&self) -> Result<Catalog, Error> {
        self.create()?;
        Ok(Catalog::open(&self.catalog_path())?)
    }

    /// Opens the catalog for a command that only reads. If there is none, returns an empty one without making
    /// a file. If the directory is not writable, returns a copy in memory.
    pub fn catalog_to_read(&self) -> Result<Catalog, Error> {
        match self.catalog_file()? {
            CatalogFile::There => Ok(Catalog::open_to_read(&self.catalog_path())?),
            CatalogFile::Missing => Ok(Catalog::in_memory()?),
        }
    }

    /// Returns the catalog's path.
    pub(crate) fn catalog_path(&self) -> PathBuf {
        self.file("catalog.db")
    }

    /// Returns whether the catalog file exists.
    pub(in crate::engine) fn catalog_file(&self) -> Result<CatalogFile, Error> {
        let path = self.catalog_path();
        match std::fs::metadata(&path) {
            Ok(file) if file.len() > 0 => Ok(CatalogFile::There),
            // SQLite makes an empty file first, and writes the schema right after.
            Ok(_) => Ok(CatalogFile::Missing),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(CatalogFile::Missing),
            Err(source) => Err(Error::file("look for", path, source)),
        }
    }

    /// Returns whether this machine has a signing key.
    pub fn has_keys(&self) -> bool {
        self.path.join(SIGNING_KEY).exists()
    }

    /// Makes a new root key and a signing key with its grant. Writes no file.
    pub fn new_keys(&self, prune: PruneMode) -> Result<NewKeys, Error> {
        self.keys_under(SigningKey::generate()?, prune)
    }

    /// Makes a new signing key under this root key. `prune` decides its roles. Writes no file.
    pub fn keys_under(&self, root: SigningKey, prune: PruneMode) -> Result<NewKeys, Error> {
        let signing = SigningKey::generate()?;
        let grant = make_grant(&root, &signing.public(), roles_for(prune))?;
        Ok(NewKeys {
            root,
            signing,
            grant,
        })
    }

    /// Writes new keys, except for the root key's secret.
    pub fn write_keys(&self, keys: &NewKeys) -> Result<(), Error> {
        // Without a signing key, these files come from an interrupted run, and nothing was ever signed under
        // them.
        for file in [ROOT_PUB, SIGNING_PUB, SIGNING_GRANT] {
            self.remove(file)?;
        }
        self.write_new(ROOT_PUB, &keys.root.public().to_file_text())?;
        self.write_new(SIGNING_PUB, &keys.signing.public().to_file_text())?;
        self.write_new(SIGNING_GRANT, &grant_text(&keys.grant))?;
        // The signing key comes last: its presence says that the other files are there. It is whole as soon
        // as it appears.
        if self.has_keys() {
            return Err(RequestError::Exists(self.file(SIGNING_KEY)).into());
        }
        replace(&self.file(SIGNING_KEY), &keys.signing.to_file_text())
    }

    fn sync(&self) -> Result<(), Error> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| Error::file("sync", &self.path, source))
    }

    fn remove(&self, file: &str) -> Result<(), Error> {
        remove_if_there(&self.path.join(file))
    }

    /// Returns this machine's public signing key; `None` if it has none.
    pub fn signing_public(&self) -> Result<Option<PublicKey>, Error> {
        match self.read(SIGNING_KEY) {
            Ok(text) => Ok(Some(SigningKey::from_file_text(&text)?.public())),
            Err(Error::Key(KeyError::NoKeys { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a signing key for a machine that has none. The ledgers decide what it may sign.
    pub fn make_signing_key(&self) -> Result<PublicKey, Error> {
        if self.has_keys() {
            return Err(RequestError::Exists(self.path.join(SIGNING_KEY)).into());
        }
        self.create()?;
        let key = self.coming_key()?;
        self.put_coming_key(&key)?;
        Ok(key.public())
    }

    /// Returns the signing key that will replace this machine's, and makes it if needed. A run that died may
    /// have left it, and some ledgers may already know it.
    pub fn coming_key(&self) -> Result<SigningKey, Error> {
        if let Ok(text) = self.read(COMING_KEY)
            && let Ok(key) = SigningKey::from_file_text(&text)
        {
            return Ok(key);
        }
        // A truncated key was never used.
        self.remove(COMING_KEY)?;
        let key = SigningKey::generate()?;
        self.write_new(COMING_KEY, &key.to_file_text())?;
        self.sync()?;
        Ok(key)
    }

    /// Makes the new signing key the current one, after the root key has granted it its roles in the ledgers.
    pub fn adopt_coming_key(&self, root: &SigningKey, roles: &[Role]) -> Result<(), Error> {
        let key = self.coming_key()?;
        self.vouch(root, &key.public(), roles)?;
        self.put_coming_key(&key)
    }

    /// Writes a new grant for this machine's key. A ledger that is opened later gives the key these roles and
    /// no others.
    pub fn grant_anew(&self, root: &SigningKey, roles: &[Role]) -> Result<(), Error> {
        match self.signing_public()? {
            Some(key) => self.vouch(root, &key, roles),
            None => Ok(()),
        }
    }

    /// Writes the root key's grant for a key, and the public root key.
    fn vouch(&self, root: &SigningKey, key: &PublicKey, roles: &[Role]) -> Result<(), Error> {
        let grant = make_grant(root, key, roles)?;
        replace(&self.file(SIGNING_GRANT), &grant_text(&grant))?;
        replace(&self.file(ROOT_PUB), &root.public().to_file_text())
    }

    /// Removes the grant of this machine's key, which can then open no ledger any more.
    pub fn withdraw_grant(&self) -> Result<(), Error> {
        self.remove(SIGNING_GRANT)?;
        self.sync()
    }

    fn put_coming_key(&self, key: &SigningKey) -> Result<(), Error> {
        replace(&self.file(SIGNING_PUB), &key.public().to_file_text())?;
        let path = self.file(SIGNING_KEY);
        std::fs::rename(self.file(COMING_KEY), &path)
            .map_err(|source| Error::file("replace", path, source))?;
        self.sync()
    }

    /// Reads the keys that a writer needs. Refuses a signing key that other users can read.
    pub fn keys(&self) -> Result<Keys, Error> {
        let signing_path = self.path.join(SIGNING_KEY);
        let signing = SigningKey::from_file_text(&self.read(SIGNING_KEY)?)?;
        let mode = std::fs::metadata(&signing_path)
            .map_err(|source| Error::file("look at", &signing_path, source))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed {
                path: signing_path,
                mode: mode & 0o777,
            }
            .into());
        }
        let grant = match self.read(SIGNING_GRANT) {
            Ok(text) => Some(serde_json::from_str(&text).map_err(|error| {
                let path = self.path.join(SIGNING_GRANT);
                Error::file("understand", path, std::io::Error::other(error))
            })?),
            Err(Error::Key(KeyError::NoKeys { .. })) => None,
            Err(error) => return Err(error),
        };
        Ok(Keys {
            signing,
            grant,
            root: self.root_key()?,
            state_dir: self.path.clone(),
        })
    }

    /// Reads the public root key.
    pub fn root_key(&self) -> Result<PublicKey, Error> {
        Ok(PublicKey::from_file_text(&self.read(ROOT_PUB)?)?)
    }

    /// Trusts the root key with which a catalog was rebuilt. If another root key was trusted, moves it and
    /// its grant aside and returns the new path of that key.
    pub(in crate::engine) fn trust(&self, root: &PublicKey) -> Result<Option<PathBuf>, Error> {
        let path = self.file(ROOT_PUB);
        let kept = match self.root_key() {
            Ok(known) if known == *root => return Ok(None),
            Err(Error::Key(KeyError::NoKeys { .. })) => {
                self.write_new(ROOT_PUB, &root.to_file_text())?;
                return self.sync().map(|()| None);
            }
            // Another key, or one that can't be read.
            Ok(_) | Err(Error::Ledger(_)) => keep(&path)?,
            Err(error) => return Err(error),
        };
        let grant = self.file(SIGNING_GRANT);
        if grant.exists() {
            keep(&grant)?;
            self.remove(SIGNING_GRANT)?;
        }
        replace(&path, &root.to_file_text())?;
        Ok(Some(kept))
    }

    fn read(&self, file: &'static str) -> Result<String, Error> {
        let path = self.path.join(file);
        let mut text = String::new();
        let read = owned::open(&path).and_then(|mut file| Ok(file.read_to_string(&mut text)?));
        match read {
            Ok(_) => Ok(text),
            Err(OpenError::Untrusted(untrusted)) => Err(Error::Untrusted(untrusted)),
            Err(OpenError::Io(source)) if source.kind() == ErrorKind::NotFound => {
                Err(KeyError::NoKeys {
                    state_dir: self.path.clone(),
                    file,
                }
                .into())
            }
            Err(OpenError::Io(source)) => Err(Error::file("read", path, source)),
        }
    }

    fn write_new(&self, file: &'static str, text: &str) -> Result<(), Error> {
        write_new(&self.path.join(file), text)
    }
}

fn grant_text(grant: &KeyGrant) -> String {
    serde_json::to_string(grant).expect("a grant is plain strings") + "\n"
}

/// Returns the roles of a machine that archives: with the pruner's if it also prunes.
pub fn roles_for(prune: PruneMode) -> &'static [Role] {
    match prune {
        PruneMode::AfterBackup => &[Role::Pruner, Role::Writer],
        // A thief of this key can't retire anything.
        PruneMode::Elsewhere => &[Role::Writer],
    }
}
