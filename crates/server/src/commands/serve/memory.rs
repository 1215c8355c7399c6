//! Keeps the C library from taking more memory than the server needs.

/// Starts the program anew with one pool of memory for all threads, if nobody has chosen how many
/// there are to be.
///
/// glibc gives each thread a pool of its own, and what one thread has freed no other can use: here,
/// where events are made by one thread and read by others, that is a third of all memory. It can
/// be told otherwise only before the program starts. The process stays the same.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn share() {
    use std::env;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    if env::var_os(POOLS).is_some() || env::var_os("GLIBC_TUNABLES").is_some() {
        return;
    }
    let mut arguments = env::args_os();
    let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) else {
        return;
    };
    // This returns only if it fails, and then the program continues as it is.
    let _ = Command::new(program)
        .arg0(name)
        .args(arguments)
        .env(POOLS, "1")
        .exec();
}

/// Other C libraries have no such pools.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
const POOLS: &str = "MALLOC_ARENA_MAX";
