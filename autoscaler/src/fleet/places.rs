//! Where a fleet's revisions lie: in blocks that never move, so that a growing fleet neither
//! copies what it has nor keeps room for as much again.

use crate::observed::Observed;
use crate::revision::RevisionAutoscaler;

/// Places in a block, which share a phase.
pub(super) const BLOCK: usize = u64::BITS as usize;

/// A place for one revision.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) generation: u32,
    pub(super) observed: Observed,
    pub(super) autoscaler: Option<RevisionAutoscaler>,
}

/// All places, by number.
#[derive(Debug, Default)]
pub(super) struct Places {
    blocks: Vec<Vec<Place>>,
}

impl Places {
    /// Adds a place and returns its number.
    pub(super) fn push(&mut self, place: Place) -> u32 {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(place);
        }
        u32::try_from(self.len() - 1).unwrap_or(u32::MAX)
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        let full = self.blocks.len().saturating_sub(1) * BLOCK;
        full + self.blocks.last().map_or(0, Vec::len)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Place> {
        self.blocks.get(index / BLOCK)?.get(index % BLOCK)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Place> {
        self.blocks.get_mut(index / BLOCK)?.get_mut(index % BLOCK)
    }
}
