//! Named, independent random streams derived from one seed.
//!
//! Each use of chance has its own stream ("service" of revision 3, "start-up" of revision 3, ...),
//! so adding a draw in one place does not shift the draws anywhere else, and two runs that differ
//! in one setting see the same traffic. The generator is xoshiro256++, seeded through SplitMix64;
//! both are integer arithmetic, and logarithms come from the `libm` crate, so draws are the same to
//! the bit on every machine.

use std::sync::LazyLock;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The root of all chance in one simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

/// One independent sequence of random numbers.
#[derive(Debug, Clone)]
pub struct Stream {
    generator: Xoshiro256PlusPlus,
    /// Second half of the last pair of normal draws, which come two at a time.
    spare_normal: Option<f64>,
    ziggurat: &'static Ziggurat,
}

/// Where the tail of the exponential's ziggurat begins (Marsaglia and Tsang, 2000, 256 layers).
const ZIGGURAT_TAIL: f64 = 7.697_117_470_131_05;
/// The area of each layer of that ziggurat.
const ZIGGURAT_AREA: f64 = 0.003_949_659_822_581_557;

/// Layers of equal area that cover the exponential's density.
#[derive(Debug)]
struct Ziggurat {
    /// Right edges from the lowest layer up; the first is the area over the lowest height.
    edges: [f64; 257],
    /// The density at the edges.
    heights: [f64; 257],
}

static ZIGGURAT: LazyLock<Ziggurat> = LazyLock::new(|| {
    let mut edges = [0.0; 257];
    edges[0] = ZIGGURAT_AREA / libm::exp(-ZIGGURAT_TAIL);
    edges[1] = ZIGGURAT_TAIL;
    for layer in 2..256 {
        let below = edges[layer - 1];
        edges[layer] = -libm::log(ZIGGURAT_AREA / below + libm::exp(-below));
    }
    Ziggurat { edges, heights: edges.map(|edge| libm::exp(-edge)) }
});

impl Streams {
    /// All streams of `seed`.
    pub const fn new(seed: u64) -> Self {
        Streams { seed }
    }

    /// The seed these streams come from.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The stream called `name` with number `index`: always the same for the same seed, name and
    /// index, and independent of every other one.
    pub fn stream(&self, name: &str, index: u64) -> Stream {
        // FNV-1a over the name keeps equal names equal on every platform; SplitMix64 finalises.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let mixed = split_mix(split_mix(split_mix(self.seed) ^ hash).wrapping_add(index));
        Stream {
            generator: Xoshiro256PlusPlus::seed_from_u64(mixed),
            spare_normal: None,
            ziggurat: &ZIGGURAT,
        }
    }
}

/// The finaliser of SplitMix64: a bijection that scatters every bit of its input.
const fn split_mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// 64 uniformly random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in (0, 1], for logarithms.
    #[inline]
    pub fn unit_open(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform among `0..bound`; 0 when `bound` is 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire's multiplication; the bias of at most bound/2^64 is far below what any run can
        // see.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Exponential with mean 1 (Marsaglia and Tsang's ziggurat: a logarithm only once in fifty
    /// draws, because this is drawn twice for most simulated requests).
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        loop {
            // The lowest eight bits choose the layer, the highest 53 the place in it.
            let bits = self.bits();
            let layer = (bits & 0xff) as usize;
            let x = (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64) * self.ziggurat.edges[layer];
            if x < self.ziggurat.edges[layer + 1] {
                return x;
            }
            if layer == 0 {
                return ZIGGURAT_TAIL - libm::log(self.unit_open());
            }
            let (low, high) = (self.ziggurat.heights[layer], self.ziggurat.heights[layer + 1]);
            if high + (low - high) * self.unit() < libm::exp(-x) {
                return x;
            }
        }
    }

    /// Normal with mean 0 and standard deviation 1 (Marsaglia's polar method).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let x = 2.0 * self.unit() - 1.0;
            let y = 2.0 * self.unit() - 1.0;
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = libm::sqrt(-2.0 * libm::log(square) / square);
                self.spare_normal = Some(y * factor);
                return x * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_seed_name_and_index() {
        let draw = |seed, name, index| Streams::new(seed).stream(name, index).bits();
        assert_eq!(draw(1, "service", 0), draw(1, "service", 0));
        assert_ne!(draw(1, "service", 0), draw(2, "service", 0));
        assert_ne!(draw(1, "service", 0), draw(1, "start", 0));
        assert_ne!(draw(1, "service", 0), draw(1, "service", 1));
    }

    #[test]
    fn moments_are_those_of_the_named_laws() {
        let mut stream = Streams::new(7).stream("moments", 0);
        let count = 200_000;
        let (mut unit, mut exponential, mut normal, mut square) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..count {
            unit += stream.unit();
            exponential += stream.exponential();
            let z = stream.normal();
            normal += z;
            square += z * z;
        }
        let n = f64::from(count);
        assert!((unit / n - 0.5).abs() < 0.005, "{}", unit / n);
        assert!((exponential / n - 1.0).abs() < 0.01, "{}", exponential / n);
        assert!((normal / n).abs() < 0.01, "{}", normal / n);
        assert!((square / n - 1.0).abs() < 0.015, "{}", square / n);
    }

    #[test]
    fn the_ziggurat_has_the_exponentials_tail() {
        let mut stream = Streams::new(3).stream("tail", 0);
        let count = 1_000_000;
        let mut above = [0_u32; 10];
        for _ in 0..count {
            let x = stream.exponential();
            above.iter_mut().enumerate().filter(|(n, _)| x > *n as f64).for_each(|(_, c)| *c += 1);
        }
        for (n, &seen) in above.iter().enumerate() {
            let expected = libm::exp(-(n as f64)) * f64::from(count);
            // Five standard deviations of a count.
            let error = (f64::from(seen) - expected).abs();
            assert!(error <= 5.0 * expected.sqrt(), "beyond {n}: {seen}, expected {expected}");
        }
    }
}
