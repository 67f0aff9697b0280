//! A ring without a path: its memory is sealed, its readers are handed a descriptor, and what they do
//! with it is nobody else's.

#[path = "support/child.rs"]
mod child;
mod support;

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use child::{Process, asked_of_a_child, pause, say};
use memmap2::MmapOptions;
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals,
    memfd_create,
};
use support::{ShmDir, assert_history, is_whole, options, publish, schema};
use tachograph::record::{Record, Schema};
use tachograph::ring::{FormatError, Liveness, OpenError, Reader, Wait, WriteError, Writer, audit};

const GOLDEN: &[u8] = include_bytes!("fixtures/ring_v1.bin");
const PATIENCE: Duration = Duration::from_secs(60);
const SEALS: [(SealFlags, &str); 4] = [
    (SealFlags::SHRINK, "F_SEAL_SHRINK"),
    (SealFlags::GROW, "F_SEAL_GROW"),
    (SealFlags::FUTURE_WRITE, "F_SEAL_FUTURE_WRITE"),
    (SealFlags::SEAL, "F_SEAL_SEAL"),
];

fn anonymous(schema: &mut Schema) -> Writer {
    Writer::anonymous("test", &options(8), schema).expect("there is memory")
}

fn handed(writer: &Writer) -> Reader {
    Reader::of_descriptor(writer.descriptor().expect("/proc is there")).expect("it is sealed")
}

/// Where the kernel shows a descriptor of this process.
fn shown(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Memory with these bytes and these seals.
fn memory(bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("golden", flags).expect("a memfd"));
    file.write_all(bytes).expect("written");
    fcntl_add_seals(&file, seals).expect("it can be sealed");
    file.into()
}

/// No test of its own: what a child does. Without a part to play it does nothing.
#[test]
fn part_of_a_child() {
    let Some((part, _)) = asked_of_a_child() else { return };
    match &*part {
        "read" => {
            let given = io::stdin().as_fd().try_clone_to_owned().expect("the test's descriptor");
            let reader = Reader::of_descriptor(given).expect("it is sealed");
            let (mut record, mut seen) = (Record::default(), 0);
            while seen < 20 {
                let Wait::Published(head) = reader.wait(seen, PATIENCE) else { break };
                if reader.ring().read_into(head, &mut record).is_ok() {
                    assert!(is_whole(&record), "torn: {record:?}");
                }
                seen = head;
                say(&format!("{head} {}", reader.liveness()));
            }
        }
        "write" => {
            let mut writer = anonymous(&mut schema(3));
            for _ in 0..5 {
                publish(&mut writer, 3);
            }
            let descriptor = writer.descriptor().expect("/proc is there");
            say(&descriptor.as_raw_fd().to_string());
            pause();
        }
        other => panic!("no part {other}"),
    }
}

#[test]
fn kernel_lets_nobody_change_sealed_memory_and_the_writer_goes_on() {
    let mut schema = schema(3);
    let mut writer = anonymous(&mut schema);
    let descriptor = writer.descriptor().expect("/proc is there");
    let seals = fcntl_get_seals(&descriptor).expect("a memfd");
    for (seal, name) in SEALS {
        assert!(seals.contains(seal), "{name}");
    }
    let size = descriptor.metadata().expect("a file").len();
    assert_eq!(descriptor.metadata().expect("a file").mode() & 0o7777, 0o444);
    // What was handed over cannot write at all. Its owner can have another that could, but for the
    // seals.
    assert!(descriptor.write_all_at(&[0; 8], 0).is_err());
    descriptor.set_permissions(Permissions::from_mode(0o600)).expect("it is ours");
    let writable = OpenOptions::new().read(true).write(true).open(shown(&descriptor));
    let writable = writable.expect("it is ours");
    let refused = |result: io::Result<()>, what: &str| {
        let error = result.expect_err(what);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{what}: {error}");
    };
    refused(writable.set_len(0), "cut");
    refused(writable.set_len(size - 4096), "cut by a page");
    refused(writable.set_len(size + 4096), "grow");
    refused(writable.write_all_at(&[0; 8], 0), "write");
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    refused(fallocate(&writable, punch, 0, size).map_err(Into::into), "punch a hole");
    refused(MmapOptions::new().map_raw(&writable).map(drop), "map for writing");
    let more = fcntl_add_seals(&writable, SealFlags::WRITE);
    refused(more.map_err(Into::into), "seal further");
    let reader = Reader::of_descriptor(descriptor).expect("it is sealed");
    let records: Vec<_> = (0..5).map(|_| publish(&mut writer, 3)).collect();
    assert_history(reader.ring(), &records);
    assert!(audit(reader.ring()).is_clean());
    assert!(reader.path().to_string_lossy().contains("memfd:test"), "{:?}", reader.path());
    assert_eq!(writer.path(), Path::new("memfd:test"));
}

#[test]
fn reader_in_another_process_follows_what_it_inherited() {
    let mut writer = anonymous(&mut schema(3));
    let descriptor = writer.descriptor().expect("/proc is there");
    let mut child = Process::start("read", Path::new(""), Some(Stdio::from(descriptor)));
    let mut head = 0;
    while head < 20 {
        publish(&mut writer, 3);
        writer.wake();
        let line = child.line();
        let (seen, liveness) = line.split_once(' ').unwrap_or_else(|| panic!("it said {line:?}"));
        head = seen.parse().expect("a sequence");
        assert_eq!((head, liveness), (writer.head(), "live"));
    }
    assert!(child.status().success());
}

/// Over a socket, which is how processes that are not related hand descriptors over.
#[test]
fn descriptor_that_came_over_a_socket_is_read_like_any_other() {
    use rustix::net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    };
    let mut writer = anonymous(&mut schema(3));
    let record = publish(&mut writer, 3);
    let descriptor = writer.descriptor().expect("/proc is there");
    let (giver, receiver) = UnixStream::pair().expect("a pair");
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut room);
    let rights = [descriptor.as_fd()];
    assert!(message.push(SendAncillaryMessage::ScmRights(&rights)));
    let text = [io::IoSlice::new(b"host")];
    sendmsg(&giver, &text, &mut message, SendFlags::empty()).expect("sent");
    drop(descriptor);
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut room);
    let mut text = [0; 4];
    let mut parts = [io::IoSliceMut::new(&mut text)];
    recvmsg(&receiver, &mut parts, &mut message, RecvFlags::CMSG_CLOEXEC).expect("received");
    let rights = message.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    let reader = Reader::of_descriptor(rights.expect("a descriptor")).expect("it is sealed");
    assert_eq!((reader.liveness(), support::copy(reader.ring(), 1)), (Liveness::Live, Ok(record)));
}

/// The writer's lock is what tells a live one from a dead one. A lock belongs to what was opened once:
/// a reader that had a duplicate of the writer's descriptor gave its lock away when it asked.
#[test]
fn lock_of_the_writer_cannot_be_taken_away_by_what_was_handed_over() {
    let mut writer = anonymous(&mut schema(1));
    publish(&mut writer, 1);
    let [first, second] = [(); 2].map(|()| writer.descriptor().expect("/proc is there"));
    assert!(matches!(first.try_lock_shared(), Err(TryLockError::WouldBlock)));
    first.unlock().expect("there is nothing to unlock");
    let copy = first.try_clone().expect("a duplicate");
    let readers = [first, copy, second].map(|file| Reader::of_descriptor(file).expect("sealed"));
    for _ in 0..3 {
        for reader in &readers {
            assert_eq!(reader.liveness(), Liveness::Live);
        }
    }
    // The writer's own mapping holds the lock as well, so one in its process goes before it.
    assert_eq!(writer.reader().expect("/proc is there").liveness(), Liveness::Live);
    drop(writer);
    // Another test may be starting a child, which has all of our descriptors until it is itself.
    let begin = Instant::now();
    while readers.iter().any(|reader| reader.liveness() != Liveness::Dead) {
        assert!(begin.elapsed() < PATIENCE, "the lock is still held");
        thread::sleep(Duration::from_millis(1));
    }

    // A giver that hands over the very descriptor by which it holds the lock.
    let own = File::from(memory(GOLDEN, SEALS.map(|(seal, _)| seal).into_iter().collect()));
    own.try_lock().expect("nobody else has it");
    let reader = Reader::of_descriptor(own.try_clone().expect("a duplicate")).expect("sealed");
    for _ in 0..2 {
        // Alive; its last record is of another time.
        assert_eq!(reader.liveness(), Liveness::Hung);
    }
}

#[test]
fn writer_that_is_killed_or_ends_is_told_from_one_that_lives() {
    let mut child = Process::start("write", Path::new(""), None);
    let number = child.line();
    let path = format!("/proc/{}/fd/{number}", child.id());
    let descriptor = File::open(path).expect("a child's descriptor is its parent's to open");
    let reader = Reader::of_descriptor(descriptor).expect("it is sealed");
    assert_eq!((reader.liveness(), reader.ring().head()), (Liveness::Live, 5));
    child.kill();
    assert_eq!(reader.liveness(), Liveness::Dead);
    let found = audit(reader.ring());
    assert!(found.is_clean() && found.records == 5, "the memory is the reader's now: {found:?}");

    let writer = anonymous(&mut schema(1));
    let reader = handed(&writer);
    assert_eq!(reader.liveness(), Liveness::Live);
    writer.close();
    assert_eq!(reader.liveness(), Liveness::Closed);
}

/// There is no name to follow: the reader says so once and does not make its caller spin.
#[test]
fn larger_ring_is_asked_for_from_whoever_gave_the_first() {
    let mut schema = schema(2);
    let mut writer = anonymous(&mut schema);
    let mut reader = handed(&writer);
    let mut records: Vec<_> = (0..5).map(|_| publish(&mut writer, 2)).collect();
    assert!(!reader.refresh().expect("it is the newest"));
    support::fill_columns(&mut schema);
    writer.sync(&mut schema).expect("there is memory");
    assert_eq!(writer.rollovers(), 1);
    records.push(publish(&mut writer, schema.width()));
    assert_eq!(reader.wait(5, PATIENCE), Wait::Retired);
    assert_eq!(reader.liveness(), Liveness::Retired);
    let error = reader.refresh().expect_err("there is no name");
    assert!(matches!(error, OpenError::Nameless(_)), "{error:?}");
    assert!(error.to_string().contains("ask for the new descriptor"), "{error}");
    assert_eq!(reader.wait(5, Duration::from_millis(1)), Wait::TimedOut);
    assert_history(reader.ring(), &records[..5]);
    let newer = handed(&writer);
    assert_history(newer.ring(), &records);
    assert_eq!((newer.liveness(), newer.reopened()), (Liveness::Live, 0));
    let ids = [&reader, &newer].map(|reader| reader.ring().header().ring_id);
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn descriptor_that_lacks_a_seal_is_refused_by_its_name() {
    let all: SealFlags = SEALS.map(|(seal, _)| seal).into_iter().collect();
    for (seal, name) in SEALS {
        let error = Reader::of_descriptor(memory(GOLDEN, all - seal)).expect_err(name);
        assert!(matches!(error, OpenError::Unsealed { missing, .. } if missing == name), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let unsealed = Reader::of_descriptor(memory(GOLDEN, SealFlags::empty())).expect_err("none");
    assert!(matches!(unsealed, OpenError::Unsealed { missing: "F_SEAL_SHRINK", .. }));
    // Sealed against all writing, which is more than is asked for.
    let kept = (all - SealFlags::FUTURE_WRITE) | SealFlags::WRITE;
    let reader = Reader::of_descriptor(memory(GOLDEN, kept)).expect("nobody can write to it");
    assert_eq!((reader.ring().head(), reader.liveness()), (8, Liveness::Dead));

    let dir = ShmDir::new();
    let (writer, _) = support::start(&dir, 8, &mut schema(1));
    assert!(matches!(writer.descriptor(), Err(WriteError::Io { doing: "hand over", .. })));
    let (here, there) = io::pipe().expect("a pipe");
    let files = [dir.ring(), "/dev/null".into(), "/proc/self/stat".into()];
    let files = files.map(|path| OwnedFd::from(File::open(path).expect("it opens")));
    for file in files.into_iter().chain([here.into(), there.into()]) {
        let error = Reader::of_descriptor(file).expect_err("it has no seals");
        assert!(matches!(error, OpenError::Unsealed { missing: "F_SEAL_SHRINK", .. }), "{error}");
    }
}

#[test]
fn sealed_memory_that_is_no_ring_is_an_error() {
    let all: SealFlags = SEALS.map(|(seal, _)| seal).into_iter().collect();
    let whole = GOLDEN.len();
    for len in [0, 8, 4095, 4096, whole / 2, whole - 1] {
        let error = Reader::of_descriptor(memory(&GOLDEN[..len], all)).expect_err("cut short");
        let OpenError::Format { source, .. } = error else { panic!("{error:?}") };
        let expected = matches!(source, FormatError::NotARing | FormatError::Truncated { .. });
        assert!(expected && (len < 4096 || source != FormatError::NotARing), "{len}: {source}");
    }
    // A file of the right length, of which only the header was ever written.
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let holey = File::from(memfd_create("holes", flags).expect("a memfd"));
    holey.set_len(whole as u64).expect("it can grow");
    holey.write_all_at(&GOLDEN[..4096], 0).expect("written");
    fcntl_add_seals(&holey, all).expect("sealed");
    let OpenError::Format { source, .. } = Reader::of_descriptor(holey).expect_err("holes") else {
        panic!("it is no other error");
    };
    assert_eq!(source, FormatError::Truncated { stated: whole as u64, found: 4096 });
    let nonsense = Reader::of_descriptor(memory(&[7; 8192], all)).expect_err("no ring");
    assert!(matches!(nonsense, OpenError::Format { source: FormatError::NotARing, .. }));
}

#[test]
fn what_is_too_large_for_the_machine_is_an_error_and_leaves_nothing() {
    for depth in [1 << 24, u64::MAX] {
        let mut schema = schema(6000);
        let error = Writer::anonymous("vast", &options(depth), &mut schema).expect_err("too large");
        assert!(matches!(error, WriteError::NoRoom { .. }), "{error:?}");
        assert!(error.to_string().contains("memfd:vast"), "{error}");
    }
    let error = Writer::anonymous(&"n".repeat(300), &options(8), &mut schema(1));
    assert!(matches!(error, Err(WriteError::Io { doing: "create", .. })));
    // Nothing is looked for, or left, where the program happens to be.
    assert!(!Path::new("memfd:vast").exists());
}
