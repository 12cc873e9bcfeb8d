//! A rate over time, and the time until the next arrival of a process with that rate.

/// A straight piece of a rate curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece {
    /// Length in seconds; positive.
    pub(crate) length_s: f64,
    /// Rate at the beginning, per second.
    pub(crate) from: f64,
    /// Rate at the end, per second.
    pub(crate) to: f64,
}

/// What follows the last piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The last rate holds for ever.
    Hold,
    /// All begins anew.
    Repeat,
    /// No more arrivals.
    End,
}

/// A piecewise straight rate over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    pieces: Vec<Piece>,
    after: After,
}

/// A point that moves along a curve.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    curve: Curve,
    piece: usize,
    /// Seconds into the piece.
    inside_s: f64,
    /// When the piece began.
    base_s: f64,
}

impl Curve {
    pub(crate) fn new(pieces: Vec<Piece>, after: After) -> Self {
        Curve { pieces, after }
    }

    /// The same rate for ever.
    pub(crate) fn constant(rate: f64) -> Self {
        Curve::new(vec![Piece { length_s: 1.0, from: rate, to: rate }], After::Hold)
    }

    /// Steps: each pair is a length in seconds and a rate.
    pub(crate) fn steps(steps: &[(f64, f64)], after: After) -> Self {
        let piece = |&(length_s, rate)| Piece { length_s, from: rate, to: rate };
        Curve::new(steps.iter().map(piece).collect(), after)
    }

    pub(crate) fn start(self) -> Cursor {
        Cursor { curve: self, piece: 0, inside_s: 0.0, base_s: 0.0 }
    }

    /// The rate, when it is the same and positive for ever.
    pub(crate) fn constant_rate(&self) -> Option<f64> {
        let rate = self.pieces.first()?.from;
        let same = self.pieces.iter().all(|piece| piece.from == rate && piece.to == rate);
        (same && rate > 0.0 && self.after != After::End).then_some(rate)
    }

    /// Whether any arrival can ever come.
    pub(crate) fn is_silent(&self) -> bool {
        self.pieces.iter().all(|piece| piece.from <= 0.0 && piece.to <= 0.0)
    }
}

impl Cursor {
    /// Moves on until the integral of the rate has grown by `work`, and returns that time in
    /// seconds; `None` when it never does.
    pub(crate) fn advance(&mut self, mut work: f64) -> Option<f64> {
        // A silent curve that repeats would go round for ever.
        if self.curve.is_silent() {
            return None;
        }
        loop {
            let last = self.curve.pieces.len() - 1;
            if self.piece > last {
                match self.curve.after {
                    After::End => return None,
                    After::Repeat => work = self.skip_rounds(work)?,
                    After::Hold => {
                        let rate = self.curve.pieces[last].to;
                        if rate <= 0.0 {
                            return None;
                        }
                        self.inside_s += work / rate;
                        return Some(self.base_s + self.inside_s);
                    }
                }
            }
            let piece = self.curve.pieces[self.piece];
            let slope = (piece.to - piece.from) / piece.length_s;
            let here = piece.from + slope * self.inside_s;
            let left_s = piece.length_s - self.inside_s;
            let left_work = (here + piece.to) / 2.0 * left_s;
            if work <= left_work {
                self.inside_s += solve(here, slope, work).min(left_s);
                return Some(self.base_s + self.inside_s);
            }
            work -= left_work;
            self.base_s += piece.length_s;
            self.inside_s = 0.0;
            self.piece += 1;
        }
    }

    /// Begins anew, leaving out the whole rounds that `work` goes beyond: a short period and a
    /// low rate would walk through millions of them for one arrival. Returns the work that is
    /// left, or `None` when its end is further away than numbers reach.
    fn skip_rounds(&mut self, work: f64) -> Option<f64> {
        let pieces = &self.curve.pieces;
        let round_s: f64 = pieces.iter().map(|piece| piece.length_s).sum();
        let area = |piece: &Piece| (piece.from + piece.to) / 2.0 * piece.length_s;
        let round_work: f64 = pieces.iter().map(area).sum();
        self.piece = 0;
        // Work that a round does to the end stays in that round.
        let rounds = libm::ceil(work / round_work) - 1.0;
        if !rounds.is_finite() {
            return None;
        }
        if rounds <= 0.0 {
            return Some(work);
        }
        self.base_s += rounds * round_s;
        Some((work - rounds * round_work).max(0.0))
    }
}

/// The time `x` with `here·x + slope·x²/2 = work`.
fn solve(here: f64, slope: f64, work: f64) -> f64 {
    if slope == 0.0 {
        return work / here;
    }
    let root = libm::sqrt((here * here + 2.0 * slope * work).max(0.0));
    // This form of the quadratic's root does not cancel for small slopes.
    2.0 * work / (here + root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_integrated_exactly() {
        let ramp = Curve::new(vec![Piece { length_s: 10.0, from: 0.0, to: 10.0 }], After::Hold);
        let mut cursor = ramp.start();
        // The integral of a rate t is t²/2: 2 at t = 2, 50 at the end, then ten a second.
        assert_eq!(cursor.advance(2.0), Some(2.0));
        assert_eq!(cursor.advance(48.0), Some(10.0));
        assert_eq!(cursor.advance(5.0), Some(10.5));
        assert_eq!(cursor.advance(10.0), Some(11.5));
    }

    #[test]
    fn steps_repeat_or_end() {
        let steps = [(1.0, 1.0), (1.0, 0.0)];
        let mut again = Curve::steps(&steps, After::Repeat).start();
        assert_eq!(again.advance(0.5), Some(0.5));
        assert_eq!(again.advance(1.0), Some(2.5));
        let mut once = Curve::steps(&steps, After::End).start();
        assert_eq!(once.advance(2.0), None);
        assert_eq!(Curve::constant(0.0).start().advance(1.0), None);
    }
}
