//! Whose a revision is: rendezvous hashing, where the shard with the highest hash has it.

use std::num::NonZeroU16;

/// Digits of the number at the end of a numbered revision, as Knative and Tidegate write it. The
/// first is a zero for the first ten thousand; names that end in other numbers are on their own, or
/// thousands of them could be one shard's.
const GENERATION_DIGITS: usize = 5;

/// The number of the shard, from 1 on, that a revision belongs to where there are `shards` of them.
///
/// The numbered revisions of one service, `web-00001` and `web-00002`, belong together: a rollout
/// from one to the other is then one controller's to lead. Every other name is on its own.
///
/// With another shard after the last, one revision in so many moves to it, and none between the
/// others. So many hashes of a name take 64 × 2 ns at the most.
#[must_use]
pub fn owner(namespace: &str, name: &str, shards: NonZeroU16) -> NonZeroU16 {
    let key = key(namespace, service(name));
    let weight = |shard: &NonZeroU16| mix(key ^ mix(u64::from(shard.get())));
    let all = (1..=shards.get()).filter_map(NonZeroU16::new);
    // There is at least one; of equal weights, which chance brings once in 2^64, the last has it.
    all.max_by_key(weight).unwrap_or(NonZeroU16::MIN)
}

/// Where the shard is that a revision belongs to in a list of all `shards` of them, from 0 on; 0
/// where the list is empty.
#[must_use]
pub fn place(namespace: &str, name: &str, shards: usize) -> usize {
    let count = u16::try_from(shards).ok().and_then(NonZeroU16::new);
    count.map_or(0, |count| usize::from(owner(namespace, name, count).get()) - 1)
}

/// The name without the number that tells the revisions of one service apart, if it has one.
fn service(name: &str) -> &str {
    let Some((service, number)) = name.rsplit_once('-') else { return name };
    let is_number = number.len() == GENERATION_DIGITS
        && number.starts_with('0')
        && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && !service.is_empty() { service } else { name }
}

/// FNV-1a over both names, with the slash between them that neither can have.
fn key(namespace: &str, name: &str) -> u64 {
    let bytes = namespace.bytes().chain(*b"/").chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

/// The finalizer of `SplitMix64`: names that differ in a digit come to lie far apart.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
