//! A private sshd on 127.0.0.1 with keys of its own, for tests. Needs root and openssh-server.
#![allow(dead_code)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running sshd; ends when dropped.
pub struct Sshd {
    pub dir: tempfile::TempDir,
    pub address: SocketAddr,
    child: Child,
}

/// Runs a program and wants it to succeed.
fn run(command: &mut Command) {
    let output = command.output().expect("run a program");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes a key pair without passphrase.
pub fn keygen(path: &Path, kind: &str, passphrase: &str) {
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path));
}

impl Sshd {
    /// With the usual settings.
    pub fn start() -> Self {
        Self::with("")
    }

    /// With these lines in front of the usual settings.
    pub fn with(settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all("/run/sshd").expect("/run/sshd");
        keygen(&at("host_ed25519"), "ed25519", "");
        keygen(&at("id"), "ed25519", "");
        std::fs::copy(at("id.pub"), at("authorized_keys")).expect("copy");
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a port");
        let config = format!(
            "{settings}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host_ed25519\nPidFile none\n\
             AuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\nPermitRootLogin yes\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\nLogLevel ERROR\n\
             Subsystem sftp internal-sftp\n",
            port = address.port(),
            dir = dir.path().display(),
        );
        std::fs::write(at("sshd_config"), config).expect("write");
        let log = std::fs::File::create(at("log")).expect("log");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start sshd");
        let sshd = Self {
            dir,
            address,
            child,
        };
        // Any port: tests put relays in front.
        let known = format!("[127.0.0.1]:* {}", sshd.host_key());
        std::fs::write(sshd.known_hosts(), known).expect("write");
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        sshd
    }

    /// The client's private key.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("id")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// The host key's type and text, with a newline.
    pub fn host_key(&self) -> String {
        let line = std::fs::read_to_string(self.dir.path().join("host_ed25519.pub")).expect("key");
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        format!("{}\n", words.join(" "))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
