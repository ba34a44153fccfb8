//! The program under its own name: build the packages, and serve them to lab hosts.

use crate::pack;
use anyhow::Context;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

/// Stand-ins for Mesos, Marathon and Bamboo.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and serve it over HTTP, on this address only, until killed
    Serve {
        /// Where to listen; port 0 takes a free one
        #[arg(long)]
        listen: SocketAddr,
        /// Directory for packages, key and vars.yaml; what is in it already is used again
        #[arg(long)]
        dir: PathBuf,
    },
    /// Build everything for a server at this URL
    Build {
        /// The URL the hosts will use
        #[arg(long)]
        url: String,
        /// Directory for packages, key and vars.yaml
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Does what the command line says.
pub async fn run() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Build { url, dir } => {
            let shop = build(dir, url.trim_end_matches('/').to_owned()).await?;
            say(&format!("variables: {}", shop.vars.display()));
        }
        Command::Serve { listen, dir } => {
            // First the address, then the work: who spawned this learns at once when it is taken.
            let listener = TcpListener::bind(listen)
                .await
                .with_context(|| format!("cannot listen on {listen}"))?;
            let url = format!("http://{}", listener.local_addr()?);
            let shop = build(dir, url.clone()).await?;
            say(&format!(
                "serving {url}, variables: {}",
                shop.vars.display()
            ));
            axum::serve(
                listener,
                axum::Router::new().fallback_service(ServeDir::new(&shop.www)),
            )
            .await?;
        }
    }
    Ok(())
}

async fn build(dir: PathBuf, url: String) -> anyhow::Result<pack::Shop> {
    tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))?;
        pack::build(&dir.canonicalize()?, &url)
    })
    .await?
}

/// One line for whoever waits for the server.
fn say(text: &str) {
    let mut out = std::io::stdout();
    // Nobody reading is fine.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
