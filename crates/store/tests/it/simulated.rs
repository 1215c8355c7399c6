//! The disk that a simulation plays keeps what a real one keeps, and nothing else.

use jetwash_store::testing::SimulatedDisk;
use jetwash_store::{Appender, Location, Options, Read, Seq, Store, StoreError, open};

use crate::support::{START, event, push, tiny};

fn start(disk: &SimulatedDisk, options: Options) -> (Appender, Store) {
    open(Location::Simulated(disk.clone()), options).unwrap()
}

fn write(appender: &mut Appender, count: u64) {
    for _ in 0..count {
        let seq = appender.next_seq().get();
        push(appender, &event(seq, START + seq), None);
    }
    appender.set_cursor("relay", appender.next_seq().get() - 1);
    appender.commit().unwrap();
}

fn positions(store: &Store) -> Vec<u64> {
    let (mut position, mut found) = (store.bounds().oldest_seq, Vec::new());
    loop {
        match store.read(position).unwrap() {
            Read::Events(run) => {
                found.extend((position.get()..run.next_seq().get()).collect::<Vec<_>>());
                position = run.next_seq();
            }
            Read::Gap(gap) => position = gap.next_seq,
            Read::AtTip => return found,
        }
    }
}

#[test]
fn a_process_that_is_killed_leaves_every_commit() {
    let disk = SimulatedDisk::default();
    let (mut appender, store) = start(&disk, tiny());
    write(&mut appender, 10);
    disk.kill();
    drop((appender, store));
    let (appender, store) = start(&disk, tiny());
    assert_eq!(positions(&store), (1..=10).collect::<Vec<_>>());
    assert_eq!(appender.next_seq(), Seq::new(11));
    assert_eq!(appender.cursor("relay"), Some(10));
}

#[test]
fn a_power_failure_takes_back_the_last_writes_but_no_position() {
    for kept in 0..=5 {
        let disk = SimulatedDisk::default();
        // No block is full, so that nothing but the test syncs.
        let (mut appender, store) = start(&disk, Options::default());
        write(&mut appender, 4);
        appender.sync().unwrap();
        for _ in 0..5 {
            write(&mut appender, 3);
        }
        assert_eq!(disk.unsynced(), 5);
        disk.fail_power(|_| kept);
        drop((appender, store));
        let (appender, store) = start(&disk, Options::default());
        let last = 4 + 3 * kept as u64;
        assert_eq!(positions(&store), (1..=last).collect::<Vec<_>>());
        assert_eq!(appender.cursor("relay"), Some(last));
        assert!(appender.next_seq() >= Seq::new(20), "a position twice");
    }
}

#[test]
fn a_full_disk_refuses_writes_until_it_is_opened_anew() {
    let disk = SimulatedDisk::default();
    let (mut appender, store) = start(&disk, tiny());
    write(&mut appender, 2);
    disk.set_full(true);
    let seq = appender.next_seq().get();
    push(&mut appender, &event(seq, START + seq), None);
    let failure = appender.commit().unwrap_err();
    assert!(matches!(failure, StoreError::Storage { .. }), "{failure}");
    assert!(appender.reopen().is_err());
    disk.set_full(false);
    assert!(appender.commit().is_err(), "it was not opened anew");
    appender.reopen().unwrap();
    appender.commit().unwrap();
    assert_eq!(positions(&store), [1, 2, 3]);
}

#[test]
fn only_one_process_has_it_open() {
    let disk = SimulatedDisk::default();
    let opened = start(&disk, tiny());
    assert!(open(Location::Simulated(disk.clone()), tiny()).is_err());
    drop(opened);
    start(&disk, tiny());
}

#[test]
fn a_mirror_is_one_each_time_it_is_opened() {
    let (_appender, origin) = open(Location::Memory, tiny()).unwrap();
    let disk = SimulatedDisk::default();
    let (mut appender, store) = start(&disk, tiny());
    appender.become_mirror(origin.log_id()).unwrap();
    drop((appender, store));
    for _ in 0..2 {
        let (_appender, store) = start(&disk, tiny());
        assert!(store.is_mirror() && store.log_id() == origin.log_id());
    }
}
