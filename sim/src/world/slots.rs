//! What holds each place of a queue or a dispatcher.

/// Requests or instances by the places that a queue or a dispatcher gave them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots(Vec<u32>);

impl Slots {
    /// `value` takes `place`.
    pub(crate) fn put(&mut self, place: usize, value: u32) {
        if place >= self.0.len() {
            self.0.resize(place + 1, u32::MAX);
        }
        self.0[place] = value;
    }

    /// The request or instance in `place`.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> u32 {
        self.0[place]
    }
}
