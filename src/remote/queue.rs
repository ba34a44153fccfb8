//! Bytes on their way to a kept shell: pieces at hand, and files read as they are needed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::AsyncReadExt;

use super::{LinkError, LinkErrorKind};

/// Bytes of a file held at once.
const BLOCK: usize = 512 << 10;

enum Piece {
    Bytes(Vec<u8>),
    Shared(Arc<[u8]>),
    File {
        path: PathBuf,
        file: Option<tokio::fs::File>,
        left: u64,
    },
}

/// What is still to be written, in order.
#[derive(Default)]
pub(crate) struct Queue {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are written already.
    at: usize,
    /// What was read of the file that comes first.
    block: Vec<u8>,
}

impl Queue {
    pub(crate) fn bytes(&mut self, bytes: Vec<u8>) {
        self.pieces.push_back(Piece::Bytes(bytes));
    }

    pub(crate) fn shared(&mut self, bytes: Arc<[u8]>) {
        self.pieces.push_back(Piece::Shared(bytes));
    }

    /// Exactly `len` bytes of a file.
    pub(crate) fn file(&mut self, path: PathBuf, len: u64) {
        self.pieces.push_back(Piece::File {
            path,
            file: None,
            left: len,
        });
    }

    /// Moves everything of another queue behind.
    pub(crate) fn append(&mut self, mut other: Queue) {
        self.pieces.append(&mut other.pieces);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The bytes to write next; the same until [`Queue::wrote`] is called. Empty when there is nothing, or when
    /// [`Queue::fill`] must run first.
    pub(crate) fn next(&self) -> &[u8] {
        match self.pieces.front() {
            Some(Piece::Bytes(bytes)) => &bytes[self.at..],
            Some(Piece::Shared(bytes)) => &bytes[self.at..],
            Some(Piece::File { .. }) => &self.block[self.at..],
            None => &[],
        }
    }

    /// Notes that this many of the next bytes are written.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.at += count;
        self.skip_done();
    }

    fn skip_done(&mut self) {
        while let Some(piece) = self.pieces.front() {
            let done = match piece {
                Piece::Bytes(bytes) => self.at >= bytes.len(),
                Piece::Shared(bytes) => self.at >= bytes.len(),
                Piece::File { left, .. } => {
                    if self.at >= self.block.len() {
                        self.block.clear();
                        self.at = 0;
                    }
                    self.block.is_empty() && *left == 0
                }
            };
            if !done {
                return;
            }
            self.pieces.pop_front();
            self.at = 0;
        }
        self.block = Vec::new();
    }

    /// Reads the next block when a file comes first.
    pub(crate) async fn fill(&mut self) -> Result<(), LinkError> {
        self.skip_done();
        if !self.block.is_empty() {
            return Ok(());
        }
        let Some(Piece::File { path, file, left }) = self.pieces.front_mut() else {
            return Ok(());
        };
        let fail = |path: &PathBuf, why: &dyn std::fmt::Display| {
            LinkError::new(
                LinkErrorKind::Protocol,
                format!("cannot send {}: {why}", path.display()),
            )
        };
        if file.is_none() {
            let opened = tokio::fs::File::open(&*path).await;
            *file = Some(opened.map_err(|e| fail(path, &e))?);
        }
        if let Some(file) = file {
            let want = BLOCK.min(usize::try_from(*left).unwrap_or(BLOCK));
            file.take(want as u64)
                .read_to_end(&mut self.block)
                .await
                .map_err(|e| fail(path, &e))?;
            if self.block.len() < want {
                return Err(fail(path, &"it became shorter while it was sent"));
            }
            *left -= want as u64;
        }
        Ok(())
    }
}
