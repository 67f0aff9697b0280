//! A file system that answers when it is told to: the kernel's FUSE protocol by hand, as much of it
//! as `statfs` of an empty directory needs.

#![allow(clippy::host_endian_bytes, reason = "the kernel speaks in the machine's own byte order")]

use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

/// Requests, by number, that are answered or need no answer.
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;
/// The protocol that is spoken: 7.31, of Linux 5.4.
const MAJOR: u32 = 7;
const MINOR: u32 = 31;
/// A request begins with its length, its kind, and its number, by which it is answered.
const HEADER_BYTES: usize = 40;
/// The kernel refuses to hand out a request into less than 8 KiB and what a write may hold.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Size of a block in `statfs`.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// A mounted file system of one empty directory, served by a thread. Dropped, its connection breaks:
/// the kernel then answers for it, that there is nobody.
pub(crate) struct Fuse {
    state: Arc<Mutex<State>>,
    device: Arc<OwnedFd>,
    server: Option<JoinHandle<()>>,
}

struct State {
    blocks: u64,
    hangs: bool,
    /// Requests that wait for an answer: number and kind.
    waiting: Vec<(u64, u32)>,
    ends: bool,
}

impl Fuse {
    /// Mounts it at `target`, with `blocks` of space, all of them free.
    pub(crate) fn mount(target: &Path, blocks: u64) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let device = rustix::fs::open("/dev/fuse", flags, Mode::empty())?;
        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        let options = format!(
            "fd={},rootmode=40000,user_id={},group_id={},allow_other",
            device.as_raw_fd(),
            uid.as_raw(),
            gid.as_raw()
        );
        let options = CString::new(options).expect("no zero in it");
        rustix::mount::mount("test", target, "fuse", MountFlags::empty(), &*options)?;
        let state = State { blocks, hangs: false, waiting: Vec::new(), ends: false };
        let (state, device) = (Arc::new(Mutex::new(state)), Arc::new(device));
        let (theirs, their_device) = (state.clone(), device.clone());
        let server = Some(thread::spawn(move || serve(&their_device, &theirs)));
        Ok(Self { state, device, server })
    }

    /// No question is answered any more.
    pub(crate) fn hang(&self) {
        self.state.lock().expect("no panic while it is held").hangs = true;
    }

    /// Questions are answered again, first those that wait: there are `blocks` of space now.
    pub(crate) fn go_on(&self, blocks: u64) {
        let mut state = self.state.lock().expect("no panic while it is held");
        (state.hangs, state.blocks) = (false, blocks);
        for (unique, opcode) in std::mem::take(&mut state.waiting) {
            answer(&self.device, unique, opcode, blocks);
        }
    }

    /// How many questions wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().expect("no panic while it is held").waiting.len()
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.ends = true;
        }
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn serve(device: &OwnedFd, state: &Mutex<State>) {
    let mut request = vec![0; REQUEST_BYTES_MAX];
    loop {
        let mut asked = [PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN)];
        let pause = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let _ = rustix::event::poll(&mut asked, Some(&pause));
        let read = rustix::io::read(device, &mut *request);
        let mut state = state.lock().expect("no panic while it is held");
        if state.ends {
            return;
        }
        let length = match read {
            Ok(length) if length >= HEADER_BYTES => length,
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT) => continue,
            // It was unmounted.
            _ => return,
        };
        let request = &request[..length];
        let opcode = u32::from_ne_bytes(request[4..8].try_into().expect("four bytes"));
        let unique = u64::from_ne_bytes(request[8..16].try_into().expect("eight bytes"));
        match opcode {
            FORGET | BATCH_FORGET | INTERRUPT => {}
            GETATTR | STATFS if state.hangs => state.waiting.push((unique, opcode)),
            _ => answer(device, unique, opcode, state.blocks),
        }
    }
}

fn answer(device: &OwnedFd, unique: u64, opcode: u32, blocks: u64) {
    let mut body = Vec::new();
    let words = |body: &mut Vec<u8>, words: &[u32]| {
        words.iter().for_each(|word| body.extend(word.to_ne_bytes()));
    };
    let longs = |body: &mut Vec<u8>, longs: &[u64]| {
        longs.iter().for_each(|long| body.extend(long.to_ne_bytes()));
    };
    let error = match opcode {
        // Version, read-ahead, flags, limits of requests, longest write, grain of times, and zeros.
        INIT => {
            words(&mut body, &[MAJOR, MINOR, 0, 0, 0, 4096, 1]);
            body.resize(64, 0);
            Ok(())
        }
        // For how long it holds; then number, size, blocks and times; mode, links, owner, grain.
        GETATTR => {
            longs(&mut body, &[0, 0, 1, 0, 0, 0, 0, 0]);
            words(&mut body, &[0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0]);
            Ok(())
        }
        // Blocks, files; sizes of a block, of a name, of a fragment.
        STATFS => {
            longs(&mut body, &[blocks, blocks, blocks, 100, 99]);
            words(&mut body, &[BLOCK_BYTES as u32, 255, BLOCK_BYTES as u32]);
            body.resize(80, 0);
            Ok(())
        }
        _ => Err(Errno::NOSYS),
    };
    let errno = error.err().map_or(0, |errno: Errno| -errno.raw_os_error());
    let mut reply = Vec::new();
    words(&mut reply, &[(16 + body.len()) as u32]);
    reply.extend(errno.to_ne_bytes());
    longs(&mut reply, &[unique]);
    reply.extend(body);
    // One who asked may have gone away.
    let _ = rustix::io::write(device, &reply);
}

/// Whether this system has FUSE.
pub(crate) fn is_there() -> bool {
    let there = fs::metadata("/dev/fuse").is_ok();
    if !there {
        eprintln!("there is no /dev/fuse here, and so no file system that hangs");
    }
    there
}
