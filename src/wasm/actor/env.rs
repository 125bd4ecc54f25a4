//! The interface `env`: declared environment variables.

use super::runtime::env::Host;
use super::runtime::types::Error;
use crate::process::Permission;
use crate::wasm::state::State;

impl Host for State {
    fn get(&mut self, key: String) -> Result<String, Error> {
        let process = self.process();
        process.kernel().authorize(&process, Permission::EnvGet, &key)?;
        let env = self.given().system.env();
        Ok(env.get(&key, process.entry().namespace())?)
    }
}
