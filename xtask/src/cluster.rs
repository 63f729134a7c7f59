//! `cargo xtask cluster N`: a cluster of N servers on this machine, for as long as it runs. The page is built
//! as for `serve`; the data are thrown away unless a directory is given, on which it then goes on.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::threads_for_each;
use crate::running::announced;
use crate::serve;
use crate::workspace::Workspace;

/// Ports of the first node; the others follow.
const CLIENT_PORT: u16 = 8081;
const NODE_PORT: u16 = 9081;

/// Time for a node to serve: it may have a store to load, or to wait for others to elect a leader.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How the cluster is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many nodes
    #[arg(default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// How many groups share the keys
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    groups: u16,
    /// Compile the servers quickly rather than make them fast
    #[arg(long)]
    dev: bool,
    /// Keep the data here, and go on with what is here
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// The servers; they end with their owner.
struct Nodes {
    running: Vec<Child>,
    /// Of each.
    threads: usize,
}

/// Builds what is needed, forms the cluster, and waits until its servers have ended.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let profile = serve::build(workspace, options.dev)?;
    let server = workspace.program_in(profile, "tidekeep-server");
    let terminal = workspace.program_in(profile, "tidekeep");
    let (data, _thrown_away) = match &options.data {
        Some(data) => (data.clone(), None),
        None => {
            let folder = TempDir::with_prefix("tidekeep-cluster-")?;
            (folder.path().to_owned(), Some(folder))
        }
    };
    let threads = threads_for_each(options.nodes.into());
    let mut nodes = Nodes { running: Vec::new(), threads };
    for number in 0..options.nodes {
        let action = action(&terminal, &data, number, options.groups)?;
        nodes.start(&server, &data, number, &action)?;
    }
    println!("\na cluster of {} nodes serves:", options.nodes);
    for number in 0..options.nodes {
        println!("  http://{}", client(number));
    }
    println!("  tidekeep --server {} cluster status", client(0));
    println!("ctrl-c ends it");
    nodes.wait()
}

/// What a node is started with: it founds the cluster, joins it, or is of it already.
fn action(terminal: &Path, data: &Path, number: u16, groups: u16) -> Result<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if directory(data, number).join("cluster/cluster.json").exists() {
        return Ok(Vec::new());
    }
    if number == 0 {
        return Ok(words(&["cluster", "init", "--groups", &groups.to_string()]));
    }
    let asked = Command::new(terminal)
        .args(["--server", &client(0), "cluster", "token"])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(asked.status.success(), "the first node gave no token");
    let token = String::from_utf8(asked.stdout)?;
    Ok(words(&["cluster", "join", &format!("127.0.0.1:{NODE_PORT}"), "--token", token.trim()]))
}

impl Nodes {
    fn start(&mut self, server: &Path, data: &Path, number: u16, action: &[String]) -> Result<()> {
        let mut child = Command::new(server)
            .args(["--listen", &client(number), "--data"])
            .arg(directory(data, number))
            .args(["--node-listen", &format!("127.0.0.1:{}", NODE_PORT + number)])
            .args(["--threads", &self.threads.to_string()])
            .args(action)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", server.display()))?;
        let stdout = child.stdout.take();
        self.running.push(child);
        // A node that goes on may need others, which come after it.
        if !action.is_empty() {
            announced(stdout.context("the server has no standard output")?, START_LIMIT)?;
        }
        Ok(())
    }

    /// Waits until all have ended: a terminal sends its signals to them, too.
    fn wait(mut self) -> Result<()> {
        // The interrupt is for them.
        ctrlc::set_handler(|| ())?;
        for node in &mut self.running {
            node.wait()?;
        }
        self.running.clear();
        Ok(())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.running {
            // It may have ended by itself.
            drop(node.kill());
            drop(node.wait());
        }
    }
}

fn client(number: u16) -> String {
    format!("127.0.0.1:{}", CLIENT_PORT + number)
}

fn directory(data: &Path, number: u16) -> PathBuf {
    data.join(format!("node-{}", number + 1))
}
