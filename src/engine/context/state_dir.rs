//! The state directory: the catalog and the signing keys. Locks stand in it too.
//!
//! It is made with mode 0700 and its files with 0600. Besides the files that the design names it
//! holds `signing.grant`: the root key's signature over the signing key, so that a ledger for a new
//! source can be opened while the root secret stays in the recovery kit.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::catalog::Catalog;
use crate::config::Prune;
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

/// A signing key that is being granted its roles: it takes the place of the other once it has them.
const COMING_KEY: &str = "signing.key.new";

/// The state directory of one machine.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Whether there is a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum CatalogFile {
    There,
    /// There is no file, or nothing in it.
    Missing,
}

/// What a writer signs with, and whom it trusts.
#[derive(Debug)]
pub struct Keys {
    /// Signs entries.
    pub signing: SigningKey,
    /// The signing key and its roles, vouched for by the root key. A machine whose key was added to
    /// the ledgers that there are has none, and opens no new one.
    grant: Option<KeyGrant>,
    /// The key that all trust in a ledger comes from.
    pub root: PublicKey,
    state_dir: PathBuf,
}

impl Keys {
    /// The root key itself as what signs: just to change who may.
    pub(in crate::engine) fn of_root(root: &SigningKey) -> Result<Self, Error> {
        Ok(Self {
            root: root.public(),
            signing: SigningKey::from_file_text(&root.to_file_text())?,
            grant: None,
            state_dir: PathBuf::new(),
        })
    }

    /// The root key's word for the signing key, which opens ledgers.
    pub fn grant(&self) -> Result<&KeyGrant, Error> {
        let grant = self.grant.as_ref().ok_or_else(|| KeyError::NoKeys {
            state_dir: self.state_dir.clone(),
            file: SIGNING_GRANT,
        })?;
        // A run that died between the two files, or whoever copied one of them, may have parted them.
        let is_ours = verify_grant(&self.root, grant).is_ok_and(|key| key == self.signing.public());
        if is_ours && grant.roles.contains(&Role::Writer) {
            Ok(grant)
        } else {
            Err(KeyError::OtherGrant(self.state_dir.join(SIGNING_GRANT)).into())
        }
    }

    /// Refuses, before anything is done, what would have to open a ledger at its end and could not.
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
    /// The key that all trust comes from. Its secret belongs in the recovery kit, and only there.
    pub root: SigningKey,
    /// Signs entries on this machine.
    pub signing: SigningKey,
    /// The root key's word for the signing key.
    pub grant: KeyGrant,
}

impl StateDir {
    /// The state directory at that path, which need not exist.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Refuses a directory that is there, and that others can change.
    pub fn require_ours(&self) -> Result<(), Error> {
        owned::require(&self.path).map_err(Error::Untrusted)
    }

    pub(in crate::engine) fn path(&self) -> &Path {
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

    /// The catalog, made if it is missing.
    pub fn catalog(&self) -> Result<Catalog, Error> {
        self.create()?;
        Ok(Catalog::open(&self.catalog_path())?)
    }

    /// The catalog for a command that only reads: an empty one if there is none yet, so that
    /// asking what there is makes no files; a copy in memory if nothing can be written there.
    pub fn catalog_to_read(&self) -> Result<Catalog, Error> {
        match self.catalog_file()? {
            CatalogFile::There => Ok(Catalog::open_to_read(&self.catalog_path())?),
            CatalogFile::Missing => Ok(Catalog::in_memory()?),
        }
    }

    /// The catalog's path.
    pub(in crate::engine) fn catalog_path(&self) -> PathBuf {
        self.file("catalog.db")
    }

    /// Whether there is a catalog.
    pub(in crate::engine) fn catalog_file(&self) -> Result<CatalogFile, Error> {
        let path = self.catalog_path();
        match std::fs::metadata(&path) {
            Ok(file) if file.len() > 0 => Ok(CatalogFile::There),
            // SQLite makes the file first, and writes the schema at once.
            Ok(_) => Ok(CatalogFile::Missing),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(CatalogFile::Missing),
            Err(source) => Err(Error::file("look for", path, source)),
        }
    }

    /// Whether `init` has made the keys.
    pub fn has_keys(&self) -> bool {
        self.path.join(SIGNING_KEY).exists()
    }

    /// New keys, not written anywhere yet.
    pub fn new_keys(&self, prune: Prune) -> Result<NewKeys, Error> {
        self.keys_under(SigningKey::generate()?, prune)
    }

    /// A new signing key, for the roles that a machine needs which prunes there, under that root key.
    pub fn keys_under(&self, root: SigningKey, prune: Prune) -> Result<NewKeys, Error> {
        let signing = SigningKey::generate()?;
        let grant = make_grant(&root, &signing.public(), roles_for(prune))?;
        Ok(NewKeys {
            root,
            signing,
            grant,
        })
    }

    /// Writes new keys, all but the root key's secret.
    pub fn write_keys(&self, keys: &NewKeys) -> Result<(), Error> {
        // Without a signing key nothing was ever signed under these: an interrupted run left them.
        for file in [ROOT_PUB, SIGNING_PUB, SIGNING_GRANT] {
            self.remove(file)?;
        }
        self.write_new(ROOT_PUB, &keys.root.public().to_file_text())?;
        self.write_new(SIGNING_PUB, &keys.signing.public().to_file_text())?;
        self.write_new(SIGNING_GRANT, &grant_text(&keys.grant))?;
        // Last: its presence says that the others are there.
        // And whole as soon as it is there.
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

    /// This machine's public signing key; `None` if it has none.
    pub fn signing_public(&self) -> Result<Option<PublicKey>, Error> {
        match self.read(SIGNING_KEY) {
            Ok(text) => Ok(Some(SigningKey::from_file_text(&text)?.public())),
            Err(Error::Key(KeyError::NoKeys { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a signing key where there is none. What it may sign is for the ledgers to say.
    pub fn make_signing_key(&self) -> Result<PublicKey, Error> {
        if self.has_keys() {
            return Err(RequestError::Exists(self.path.join(SIGNING_KEY)).into());
        }
        self.create()?;
        let key = self.coming_key()?;
        self.put_coming_key(&key)?;
        Ok(key.public())
    }

    /// A signing key that is to take the place of this machine's. A run that died may have left it,
    /// and some ledgers may know it already.
    pub fn coming_key(&self) -> Result<SigningKey, Error> {
        if let Ok(text) = self.read(COMING_KEY)
            && let Ok(key) = SigningKey::from_file_text(&text)
        {
            return Ok(key);
        }
        // Cut short, it was never used.
        self.remove(COMING_KEY)?;
        let key = SigningKey::generate()?;
        self.write_new(COMING_KEY, &key.to_file_text())?;
        self.sync()?;
        Ok(key)
    }

    /// Puts the coming key in its place, now that the root key vouches for it in the ledgers.
    pub fn adopt_coming_key(&self, root: &SigningKey, roles: &[Role]) -> Result<(), Error> {
        let key = self.coming_key()?;
        self.vouch(root, &key.public(), roles)?;
        self.put_coming_key(&key)
    }

    /// Has the root key vouch for this machine's key as it may sign from now on: a ledger that is opened
    /// later gives it these roles and no others.
    pub fn grant_anew(&self, root: &SigningKey, roles: &[Role]) -> Result<(), Error> {
        match self.signing_public()? {
            Some(key) => self.vouch(root, &key, roles),
            None => Ok(()),
        }
    }

    /// Writes the root key's word for a key, and the root key that is trusted with it.
    fn vouch(&self, root: &SigningKey, key: &PublicKey, roles: &[Role]) -> Result<(), Error> {
        let grant = make_grant(root, key, roles)?;
        replace(&self.file(SIGNING_GRANT), &grant_text(&grant))?;
        replace(&self.file(ROOT_PUB), &root.public().to_file_text())
    }

    /// Withdraws the root key's word for this machine's key: it opens no ledger any more.
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

    /// The keys that a writer needs.
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

    /// The root public key.
    pub fn root_key(&self) -> Result<PublicKey, Error> {
        Ok(PublicKey::from_file_text(&self.read(ROOT_PUB)?)?)
    }

    /// Trusts the root key that a catalog was rebuilt by. Returns the name that another one has now, which
    /// was trusted here until then; what that one granted is put aside with it.
    pub(in crate::engine) fn trust(&self, root: &PublicKey) -> Result<Option<PathBuf>, Error> {
        let path = self.file(ROOT_PUB);
        let kept = match self.root_key() {
            Ok(known) if known == *root => return Ok(None),
            Err(Error::Key(KeyError::NoKeys { .. })) => {
                self.write_new(ROOT_PUB, &root.to_file_text())?;
                return self.sync().map(|()| None);
            }
            // Another, or none that reads.
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

/// The roles of a machine that archives, by where its archives are deleted.
pub fn roles_for(prune: Prune) -> &'static [Role] {
    match prune {
        Prune::AfterBackup => &[Role::Pruner, Role::Writer],
        // Whoever takes it can't retire anything.
        Prune::Elsewhere => &[Role::Writer],
    }
}
