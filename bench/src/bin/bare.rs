//! The bare store's program: `tidekeep-bare [HOST:PORT]`. It listens there, or on a free loopback port, and says
//! where.

use std::{env, io};

use tidekeep_bench::bare;

fn main() -> io::Result<()> {
    let listen = env::args().nth(1);
    bare::run(listen.as_deref().unwrap_or("127.0.0.1:0"))
}
