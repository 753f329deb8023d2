//! The objects that the stream is busy with: what it changes of them is set in the tree once, when it goes on to others.

use rustix::fs::FileType;

use super::tree::FileTree;
use crate::model::file_node::{Changed, FileNode, ObjectId};

/// How many are held. A stream is busy with one object, and sets the times of the directories around it between.
const MOST: usize = 16;

/// An object's state, and what was changed of it.
#[derive(Debug)]
pub(super) struct HeldObject {
    node: FileNode,
    /// As it was when it was taken. Absent for an object that the stream makes, and as long as nothing was changed.
    before: Option<FileNode>,
    /// The stream makes it.
    made: bool,
    /// Something was changed since the tree got its state.
    touched: bool,
    /// Its data was changed.
    data: bool,
}

impl HeldObject {
    /// An object as it is in the tree.
    pub(super) fn known(node: FileNode) -> Self {
        Self {
            node,
            before: None,
            made: false,
            touched: false,
            data: false,
        }
    }

    /// An object that the stream makes.
    pub(super) fn made(node: FileNode) -> Self {
        Self {
            made: true,
            ..Self::known(node)
        }
    }

    /// Returns its state.
    pub(super) fn node(&self) -> &FileNode {
        &self.node
    }

    /// Returns its state, to change it.
    pub(super) fn change(&mut self) -> &mut FileNode {
        self.touched = true;
        if !self.made && self.before.is_none() {
            self.before = Some(self.node.clone());
        }
        &mut self.node
    }

    /// Notes that the tree has got its state.
    pub(super) fn is_set(&mut self) {
        self.touched = false;
    }

    /// Notes that its data changes.
    pub(super) fn data_changes(&mut self) {
        self.change();
        self.data = true;
    }

    /// Returns what is to be set in the tree; `None` if nothing.
    fn changed(&self) -> Option<Changed> {
        if self.made {
            return self.touched.then_some(Changed::MADE);
        }
        let before = self.before.as_ref()?;
        let node = &self.node;
        let mut changed = Changed::default();
        if self.data || node.size != before.size {
            changed = changed.and(Changed::DATA);
        }
        if (node.mode, node.uid, node.gid) != (before.mode, before.uid, before.gid)
            || node.xattrs != before.xattrs
        {
            changed = changed.and(Changed::ATTRIBUTES);
        }
        if changed == Changed::default() && (node.mtime, node.ctime) != (before.mtime, before.ctime)
        {
            changed = Changed::TIMES;
        }
        (changed != Changed::default()).then_some(changed)
    }
}

#[derive(Debug)]
struct Hand {
    object: ObjectId,
    /// Absent if only its cost is known.
    held: Option<HeldObject>,
    cost: u64,
    /// When it was used last.
    used: u64,
}

impl Hand {
    fn put_down<T: FileTree>(self, tree: &mut T) -> Result<(), T::Error> {
        if let Some(held) = &self.held
            && let Some(changed) = held.changed()
        {
            tree.set(self.object, &held.node, changed)?;
        }
        if self.cost > 0 {
            tree.cost(self.object, self.cost)?;
        }
        Ok(())
    }
}

/// The objects in hand.
#[derive(Debug, Default)]
pub(super) struct Hands {
    hands: Vec<Hand>,
    uses: u64,
}

impl Hands {
    /// Returns an object, taken from the tree if it is not in hand.
    pub(super) fn take<T: FileTree>(
        &mut self,
        object: ObjectId,
        cost: u64,
        tree: &mut T,
    ) -> Result<&mut HeldObject, T::Error> {
        let at = self.find(object, tree)?;
        let hand = &mut self.hands[at];
        hand.cost += cost;
        match &mut hand.held {
            Some(held) => Ok(held),
            held @ None => Ok(held.insert(HeldObject::known(tree.node(object)?))),
        }
    }

    /// Adds what commands about an object cost.
    pub(super) fn pay<T: FileTree>(
        &mut self,
        object: ObjectId,
        cost: u64,
        tree: &mut T,
    ) -> Result<(), T::Error> {
        let at = self.find(object, tree)?;
        self.hands[at].cost += cost;
        Ok(())
    }

    /// Takes an object that was just added to the tree, or whose state there does not count.
    pub(super) fn add<T: FileTree>(
        &mut self,
        object: ObjectId,
        held: HeldObject,
        cost: u64,
        tree: &mut T,
    ) -> Result<(), T::Error> {
        let at = self.find(object, tree)?;
        self.hands[at].held = Some(held);
        self.hands[at].cost += cost;
        Ok(())
    }

    /// Returns what kind of file an object is.
    pub(super) fn kind<T: FileTree>(
        &self,
        object: ObjectId,
        tree: &mut T,
    ) -> Result<FileType, T::Error> {
        let hand = self.hands.iter().find(|hand| hand.object == object);
        let mode = match hand.and_then(|hand| hand.held.as_ref()) {
            Some(held) => held.node.mode,
            None => tree.node(object)?.mode,
        };
        Ok(FileType::from_raw_mode(mode))
    }

    /// Gives an object back to the tree.
    pub(super) fn put_down<T: FileTree>(
        &mut self,
        object: ObjectId,
        tree: &mut T,
    ) -> Result<(), T::Error> {
        match self.hands.iter().position(|hand| hand.object == object) {
            Some(at) => self.hands.swap_remove(at).put_down(tree),
            None => Ok(()),
        }
    }

    /// Gives all back.
    pub(super) fn put_down_all<T: FileTree>(&mut self, tree: &mut T) -> Result<(), T::Error> {
        self.hands
            .drain(..)
            .try_for_each(|hand| hand.put_down(tree))
    }

    /// Returns which hand has an object, and puts down the one that was used longest ago if there is no other.
    fn find<T: FileTree>(&mut self, object: ObjectId, tree: &mut T) -> Result<usize, T::Error> {
        self.uses += 1;
        let used = self.uses;
        if let Some(at) = self.hands.iter().position(|hand| hand.object == object) {
            self.hands[at].used = used;
            return Ok(at);
        }
        if self.hands.len() == MOST {
            let hands = self.hands.iter().enumerate();
            let oldest = hands.min_by_key(|(_, hand)| hand.used);
            if let Some((at, _)) = oldest {
                self.hands.swap_remove(at).put_down(tree)?;
            }
        }
        self.hands.push(Hand {
            object,
            held: None,
            cost: 0,
            used,
        });
        Ok(self.hands.len() - 1)
    }
}
