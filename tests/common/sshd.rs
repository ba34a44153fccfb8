//! A private sshd on 127.0.0.1 with keys of its own, for tests. Needs root and openssh-server.
#![allow(dead_code)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Users and a sudoers file; each user is a name, a login shell and a password.
type Users<'a> = (&'a [(&'a str, &'a str, &'a str)], &'a str);

/// A running sshd; ends when dropped.
pub struct Sshd {
    pub dir: tempfile::TempDir,
    pub address: SocketAddr,
    child: Child,
    script: String,
}

fn spawn(script: &str, log: std::fs::File) -> Child {
    Command::new("unshare")
        .args(["--mount", "/bin/sh", "-c", script])
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("start sshd")
}

/// A port below those that the system gives away by itself: nobody takes it before sshd does.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let number = (std::process::id().wrapping_mul(31) + next) % 12_000;
        let port = 20_000 + u16::try_from(number).expect("a small number");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("its address");
        }
    }
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
        Self::launch(settings, None)
    }

    /// With users and a sudoers file of its own, in a mount namespace of its own: this machine's are not touched. Each user
    /// is a name, a login shell and a password; homes are `home/NAME` in the directory.
    pub fn with_users(users: &[(&str, &str, &str)], sudoers: &str) -> Self {
        let settings = "PasswordAuthentication yes";
        Self::launch(settings, Some((users, sudoers)))
    }

    fn launch(settings: &str, users: Option<Users<'_>>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all("/run/sshd").expect("/run/sshd");
        keygen(&at("host_ed25519"), "ed25519", "");
        keygen(&at("id"), "ed25519", "");
        std::fs::copy(at("id.pub"), at("authorized_keys")).expect("copy");
        let address = free_port();
        let config = format!(
            "{settings}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host_ed25519\nPidFile none\n\
             AuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\nPermitRootLogin yes\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\nLogLevel ERROR\nMaxStartups 100\n\
             Subsystem sftp internal-sftp\n",
            port = address.port(),
            dir = dir.path().display(),
        );
        std::fs::write(at("sshd_config"), config).expect("write");
        let log = std::fs::File::create(at("log")).expect("log");
        let mut script = String::from("set -e\n");
        if let Some((users, sudoers)) = users {
            write_users(dir.path(), users, sudoers);
            for name in ["passwd", "group", "shadow", "sudoers"] {
                let from = at(name);
                script.push_str(&format!("mount --bind {} /etc/{name}\n", from.display()));
            }
        }
        script.push_str(&format!(
            "exec /usr/sbin/sshd -D -e -f {}\n",
            at("sshd_config").display()
        ));
        let child = spawn(&script, log);
        let sshd = Self {
            dir,
            address,
            child,
            script,
        };
        // Any port: tests put relays in front.
        let known = format!("[127.0.0.1]:* {}", sshd.host_key());
        std::fs::write(sshd.known_hosts(), known).expect("write");
        sshd.await_port();
        sshd
    }

    fn await_port(&self) {
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < until, "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Takes no more connections; those that there are go on.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Takes connections again.
    pub fn start_again(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("log");
        self.child = spawn(&self.script, log);
        self.await_port();
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

/// Writes the account files for the users, beside those of this machine.
fn write_users(dir: &Path, users: &[(&str, &str, &str)], sudoers: &str) {
    use std::os::unix::fs::{PermissionsExt, chown};
    let etc = |name: &str| std::fs::read_to_string(format!("/etc/{name}")).unwrap_or_default();
    let (mut passwd, mut group, mut shadow) = (etc("passwd"), etc("group"), etc("shadow"));
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).expect("mode");
    for (at, (name, shell, password)) in users.iter().enumerate() {
        let id = 61000 + u32::try_from(at).expect("few users");
        let home = dir.join("home").join(name);
        std::fs::create_dir_all(&home).expect("home");
        chown(&home, Some(id), Some(id)).expect("chown");
        let hash = Command::new("openssl")
            .args(["passwd", "-6", password])
            .output()
            .expect("openssl");
        let hash = String::from_utf8_lossy(&hash.stdout).trim().to_owned();
        passwd.push_str(&format!("{name}:x:{id}:{id}::{}:{shell}\n", home.display()));
        group.push_str(&format!("{name}:x:{id}:\n"));
        shadow.push_str(&format!("{name}:{hash}:19000:0:99999:7:::\n"));
    }
    for (name, text, mode) in [
        ("passwd", passwd.as_str(), 0o644),
        ("group", &group, 0o644),
        ("shadow", &shadow, 0o600),
        ("sudoers", sudoers, 0o440),
    ] {
        let file = dir.join(name);
        std::fs::write(&file, text).expect("write");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("mode");
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
