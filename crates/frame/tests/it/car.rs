//! CAR files, made by hand and made by others.

use jetwash_cbor::{Cid, Codec};
use jetwash_frame::{Car, CarError};

use crate::{car_file, varint};

#[test]
fn blocks_come_in_the_order_of_the_file_whatever_they_are() {
    let (one, two) = (
        Cid::of(Codec::DagCbor, b"\x01"),
        Cid::of(Codec::Raw, b"blob"),
    );
    let file = car_file(
        &[two, one],
        &[(two, b"blob"), (one, b"\x01"), (one, b"\x01")],
    );
    let car = Car::parse(&file).unwrap();
    assert_eq!((car.root(), car.root_count()), (two.as_link(), 2));
    let found: Vec<_> = car
        .blocks()
        .map(|block| block.unwrap().verify().unwrap())
        .collect();
    assert_eq!(found, [two, one, one]);
    assert_eq!(car.find(Cid::of(Codec::Raw, b"").as_link()), Ok(None));
}

#[test]
fn a_block_with_other_content_fails_when_its_hash_is_asked_for() {
    let cid = Cid::of(Codec::DagCbor, b"\x01");
    let file = car_file(&[cid], &[(cid, b"\x02")]);
    let block = Car::parse(&file)
        .unwrap()
        .find(cid.as_link())
        .unwrap()
        .unwrap();
    assert_eq!(block.verify(), Err(CarError::Hash { offset: 59 }));
}

#[test]
fn a_file_cut_anywhere_in_its_last_block_is_refused() {
    let cid = Cid::of(Codec::DagCbor, b"\x01");
    let file = car_file(&[cid], &[(cid, b"\x01")]);
    for end in 60..file.len() {
        let blocks: Vec<_> = Car::parse(&file[..end]).unwrap().blocks().collect();
        assert!(blocks[0].is_err() && blocks.len() == 1, "cut at {end}");
    }
}

#[test]
fn headers_that_cannot_be_used_are_named() {
    assert_eq!(Car::parse(&[]).unwrap_err(), CarError::Varint { offset: 0 });
    assert_eq!(
        Car::parse(&[0x7f, 0]).unwrap_err(),
        CarError::Cut { offset: 0 }
    );
    assert_eq!(
        Car::parse(&car_file(&[], &[])).unwrap_err(),
        CarError::NoRoot
    );
    let mut second = car_file(&[Cid::of(Codec::Raw, b"")], &[]);
    *second.last_mut().unwrap() = 2;
    assert_eq!(Car::parse(&second).unwrap_err(), CarError::Version(2));
}

#[test]
fn a_length_beyond_the_file_takes_no_memory() {
    let mut file = car_file(&[Cid::of(Codec::Raw, b"")], &[]);
    file.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let block = Car::parse(&file).unwrap().blocks().next().unwrap();
    assert!(matches!(block, Err(CarError::Cut { .. })));
    file.extend(varint(0));
}

/// The expectation for each file of the go-car project: the number of good blocks, and whether the walk
/// ends in an error.
#[test]
fn files_of_another_implementation_are_read_or_refused() {
    let Some(corpus) = jetwash_corpus::corpus("go-car files") else {
        return;
    };
    let walk = |name: &str| {
        let bytes = corpus.bytes(&format!("go-car/{name}"));
        let car = Car::parse(&bytes)?;
        let mut good = 0;
        for block in car.blocks() {
            block?;
            good += 1;
        }
        Ok::<_, CarError>(good)
    };
    // A version 1 file of 1,049 blocks, all of them under CIDs of version 1.
    assert_eq!(walk("sample-v1.car"), Ok(1049));
    assert_eq!(walk("sample-v1-noidentity.car"), Ok(1043));
    assert!(matches!(
        walk("sample-v1-tailing-corrupt-section.car"),
        Err(CarError::Cut { .. })
    ));
    assert!(matches!(
        walk("sample-v1-with-zero-len-section.car"),
        Err(CarError::Cid { .. })
    ));
    assert!(matches!(
        walk("sample-v1-with-zero-len-section2.car"),
        Err(CarError::Cid { .. })
    ));
    assert!(walk("badheaderlength.car").is_err());
    assert!(walk("badsectionlength.car").is_err());
    assert!(walk("sample-corrupt-pragma.car").is_err());
    assert_eq!(walk("sample-rootless-v42.car"), Err(CarError::Version(42)));
    assert_eq!(walk("sample-wrapped-v2.car"), Err(CarError::Version(2)));
    assert_eq!(walk("sample-v2-indexless.car"), Err(CarError::Version(2)));
}
