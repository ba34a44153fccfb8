//! Python's `random.Random(seed)`: roles spread cron minutes over hosts with `random(seed=inventory_hostname)`,
//! and a host must get the minute Ansible gives it. Without a seed, the system's randomness.

use sha2::{Digest, Sha512};

const N: usize = 624;

/// A generator: Mersenne twister when seeded.
#[derive(Debug)]
pub(crate) enum Random {
    Seeded(Box<Twister>),
    System,
}

impl Random {
    /// Seeded with a text, as Python seeds with a `str`.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend(Sha512::digest(text.as_bytes()));
        // The number is big-endian; the twister wants its words little end first.
        bytes.reverse();
        let words = bytes.chunks(4).map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(word)
        });
        let mut key: Vec<u32> = words.collect();
        while key.len() > 1 && key.last() == Some(&0) {
            key.pop();
        }
        Self::Seeded(Box::new(Twister::new(&key)))
    }

    /// Seeded with a number.
    pub(crate) fn from_int(n: i128) -> Self {
        let mut rest = n.unsigned_abs();
        let mut key = Vec::new();
        while rest > 0 || key.is_empty() {
            key.push((rest & 0xffff_ffff) as u32);
            rest >>= 32;
        }
        Self::Seeded(Box::new(Twister::new(&key)))
    }

    /// 32 random bits.
    fn bits32(&mut self) -> u32 {
        match self {
            Self::Seeded(twister) => twister.next(),
            Self::System => {
                let mut bytes = [0; 4];
                fill_random(&mut bytes);
                u32::from_le_bytes(bytes)
            }
        }
    }

    fn bits(&mut self, mut count: u32) -> u64 {
        let mut out = 0;
        let mut shift = 0;
        while count > 0 {
            let take = count.min(32);
            out |= u64::from(self.bits32() >> (32 - take)) << shift;
            shift += take;
            count -= take;
        }
        out
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let bits = u64::BITS - n.leading_zeros();
        loop {
            let value = self.bits(bits);
            if value < n {
                return value;
            }
        }
    }

    /// An index of a sequence of that length.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Shuffles in place.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for n in (1..items.len()).rev() {
            let other = self.index(n + 1);
            items.swap(n, other);
        }
    }
}

/// Randomness of the system.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    use std::io::Read;
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes));
    if read.is_err() {
        // Without the device: the hasher's keys are random per process, time makes them differ.
        use std::hash::{BuildHasher, RandomState};
        for chunk in bytes.chunks_mut(8) {
            let now = std::time::SystemTime::now();
            let word = RandomState::new().hash_one(now).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// MT19937.
#[derive(Debug)]
pub(crate) struct Twister {
    state: [u32; N],
    index: usize,
}

impl Twister {
    fn new(key: &[u32]) -> Self {
        let mut state = [0_u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1_812_433_253_u32
                .wrapping_mul(last ^ (last >> 30))
                .wrapping_add(i as u32);
        }
        let (mut i, mut j) = (1, 0);
        let advance = |state: &mut [u32; N], i: &mut usize| {
            *i += 1;
            if *i >= N {
                state[0] = state[N - 1];
                *i = 1;
            }
        };
        for _ in 0..N.max(key.len()) {
            let last = state[i - 1];
            state[i] = (state[i] ^ (last ^ (last >> 30)).wrapping_mul(1_664_525))
                .wrapping_add(key[j])
                .wrapping_add(j as u32);
            advance(&mut state, &mut i);
            j = (j + 1) % key.len();
        }
        for _ in 0..N - 1 {
            let last = state[i - 1];
            state[i] = (state[i] ^ (last ^ (last >> 30)).wrapping_mul(1_566_083_941))
                .wrapping_sub(i as u32);
            advance(&mut state, &mut i);
        }
        state[0] = 0x8000_0000;
        Self { state, index: N }
    }

    fn next(&mut self) -> u32 {
        if self.index >= N {
            for i in 0..N {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % N] ^ (y >> 1) ^ odd;
            }
            self.index = 0;
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_as_python() {
        assert_eq!(Random::from_text("host1").below(60), 31);
        assert_eq!(Random::from_int(5).below(100), 79);
        assert_eq!(Random::from_text("x").below(1_000_000), 661_428);
        let mut items = ["a", "b", "c", "d"];
        Random::from_text("web1").shuffle(&mut items);
        assert_eq!(items, ["a", "d", "b", "c"]);
    }
}
