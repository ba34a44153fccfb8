//! The thin binary: parse, run, exit code. Everything else is in the library.
fn main() -> std::process::ExitCode {
    mini_play::cli::main()
}
