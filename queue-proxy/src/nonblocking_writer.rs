//! Lines that leave the process by a file or standard output, without ever making the data path
//! wait: a bounded buffer, a thread that empties it, and counts of what was lost.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

/// Bytes that may wait for the writer; at 100 bytes a line, ten thousand lines.
pub const BUFFER_BYTES: usize = 1 << 20;
/// How long the writer gathers lines before it writes them at once.
const GATHER: Duration = Duration::from_millis(5);
/// How long the end of the process waits for a writer that is stuck.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The writing end; cheap to clone.
#[derive(Debug, Clone)]
pub struct NonBlockingWriter {
    shared: Arc<WriterState>,
    wake: SyncSender<()>,
}

/// Waits for the writer when the process ends.
#[derive(Debug)]
pub struct WriterGuard {
    shared: Arc<WriterState>,
    done: Receiver<()>,
}

#[derive(Debug, Default)]
struct WriterState {
    buffer: Mutex<Buffer>,
    dropped: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lines: u64,
    closed: bool,
}

impl NonBlockingWriter {
    /// Starts a thread that writes to `output`.
    ///
    /// # Errors
    ///
    /// The system allows no further thread.
    pub fn start(
        name: &str,
        output: impl Write + Send + 'static,
    ) -> std::io::Result<(Self, WriterGuard)> {
        let shared = Arc::new(WriterState::default());
        // One pending wake-up is enough: the writer takes all there is.
        let (wake, woken) = sync_channel(1);
        let (finish, done) = sync_channel(1);
        let writer = Arc::clone(&shared);
        thread::Builder::new().name(name.to_owned()).stack_size(64 << 10).spawn(move || {
            run(&writer, &woken, output);
            let _ = finish.send(());
        })?;
        let flush = WriterGuard { shared: Arc::clone(&shared), done };
        Ok((Self { shared, wake }, flush))
    }

    /// Hands over one line, which must end in a newline. Drops and counts it when the writer is too
    /// far behind.
    pub fn write(&self, line: &[u8]) {
        let was_empty = {
            let mut buffer = self.shared.buffer.lock();
            if buffer.closed || buffer.bytes.len() + line.len() > BUFFER_BYTES {
                drop(buffer);
                self.lose();
                return;
            }
            let was_empty = buffer.bytes.is_empty();
            buffer.bytes.extend_from_slice(line);
            buffer.lines += 1;
            was_empty
        };
        if was_empty {
            // A full channel means that the writer has been woken already.
            let _ = self.wake.try_send(());
        }
    }

    /// Counts a line that is not handed over because it is too long.
    pub fn lose(&self) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines that were not written because the buffer was full, or the line too long.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Lines that were lost because the output refused them, as a full disk does.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl WriterGuard {
    /// Writes what is left and ends the writer. Gives up after a second when the output is stuck.
    pub fn finish(self) {
        self.shared.buffer.lock().closed = true;
        match self.done.recv_timeout(FLUSH_TIMEOUT) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

fn run(shared: &WriterState, woken: &Receiver<()>, mut output: impl Write) {
    let mut bytes = Vec::new();
    loop {
        // The timeout notices a close that no line announces.
        let wake = woken.recv_timeout(Duration::from_millis(250));
        if wake.is_ok() {
            thread::sleep(GATHER);
        }
        let (lines, closed) = {
            let mut buffer = shared.buffer.lock();
            std::mem::swap(&mut bytes, &mut buffer.bytes);
            (std::mem::take(&mut buffer.lines), buffer.closed)
        };
        if !bytes.is_empty() {
            if output.write_all(&bytes).and_then(|()| output.flush()).is_err() {
                shared.failed.fetch_add(lines, Ordering::Relaxed);
            }
            bytes.clear();
            // After a burst the memory goes back.
            bytes.shrink_to(16 << 10);
        }
        if closed || wake == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct FullDisk;

    impl Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_arrives_in_order() {
        let memory = Memory::default();
        let (writer, flush) = NonBlockingWriter::start("test", memory.clone()).unwrap();
        let mut expected = Vec::new();
        for number in 0..1000 {
            let line = format!("{number}\n");
            writer.write(line.as_bytes());
            expected.extend_from_slice(line.as_bytes());
        }
        flush.finish();
        assert_eq!(*memory.0.lock(), expected);
        assert_eq!((writer.dropped(), writer.failed()), (0, 0));
    }

    #[test]
    fn a_full_disk_is_counted_and_not_fatal() {
        let (writer, flush) = NonBlockingWriter::start("test", FullDisk).unwrap();
        writer.write(b"one\n");
        writer.write(b"two\n");
        flush.finish();
        assert_eq!(writer.failed(), 2);
    }

    #[test]
    fn a_blocked_output_drops_lines_and_never_blocks_the_caller() {
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (_release, stuck) = sync_channel(1);
        let (writer, _flush) = NonBlockingWriter::start("test", Stuck(stuck)).unwrap();
        let line = vec![b'x'; 64 << 10];
        for _ in 0..64 {
            writer.write(&line);
        }
        assert!(writer.dropped() >= 30, "{} lines dropped", writer.dropped());
    }
}
