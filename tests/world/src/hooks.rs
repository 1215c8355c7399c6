//! The randomness and the clocks that the standard library and tokio ask the C library for.
//!
//! The definitions here go before those of the C library in this program. So the keys of every hash
//! map, the branch that `select!` looks at first and the time of day follow from the seed, in all
//! crates, without a word in them.

#![allow(unsafe_code, reason = "the functions are those of the C library")]

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static RANDOM: AtomicU64 = AtomicU64::new(0);
static NOW: AtomicU64 = AtomicU64::new(0);

/// Has everything follow from a seed. Called before anything else is.
pub(crate) fn begin(seed: u64) {
    RANDOM.store(seed, Ordering::Relaxed);
}

/// Sets the time that has passed.
pub(crate) fn set_time(passed: Duration) {
    NOW.store(passed.as_nanos() as u64, Ordering::Relaxed);
}

#[repr(C)]
struct Time {
    seconds: c_long,
    nanoseconds: c_long,
}

/// # Safety
///
/// As of the C library's: `buffer` has `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    for index in 0..length {
        let mut word = RANDOM.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // SAFETY: the caller's buffer is that long.
        unsafe { buffer.cast::<u8>().add(index).write((word >> 32) as u8) };
    }
    length as isize
}

/// # Safety
///
/// As of the C library's: `time` can be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    let passed = Duration::from_nanos(NOW.load(Ordering::Relaxed));
    let begun = if clock == REALTIME { START } else { UP };
    let now = Duration::from_secs(begun) + passed;
    let now = Time {
        seconds: now.as_secs() as c_long,
        nanoseconds: c_long::from(now.subsec_nanos()),
    };
    // SAFETY: the caller's place can be written to.
    unsafe { time.write(now) };
    0
}

const REALTIME: c_int = 0;
/// The time of day when a world begins, in seconds since 1970.
pub(crate) const START: u64 = 1_783_175_888;
/// The time for which the machine has been up.
const UP: u64 = 100_000;
