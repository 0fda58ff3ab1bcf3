//! The devices the collector knows, with their credentials.
//!
//! A JSON file, written when devices are provisioned and readable by its owner only:
//!
//! ```json
//! {"devices": [{"device": "00112233445566ff", "name": "kitchen", "key": "<64 hexadecimal digits>"}]}
//! ```
//!
//! `name` may be missing; other members are passed over.

use std::collections::BTreeMap;
use std::path::Path;

use dunlin_wire::DeviceId;
use dunlin_wire::credential::Credential;
use minicbor::encode::{Encoder, write::Cursor};
use serde::Deserialize;

use crate::FleetError;

/// Bytes of the longest acknowledgement over MQTT: two heads, a number of 32 bits, a tag.
const ACKNOWLEDGEMENT_BYTES: usize = 1 + 5 + 1 + 16;

/// A device and the key it shares with the collector.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// What people call it; its id when nobody named it.
    pub name: String,
    /// Its key; never shown.
    pub credential: Credential,
}

/// All known devices.
#[derive(Debug, Clone, Default)]
pub struct Devices {
    by_id: BTreeMap<DeviceId, Device>,
}

#[derive(Deserialize)]
struct DevicesFile {
    devices: Vec<DeviceEntry>,
}

#[derive(Deserialize)]
struct DeviceEntry {
    device: String,
    name: Option<String>,
    key: String,
}

impl Devices {
    /// Reads the devices file.
    ///
    /// # Errors
    /// When the file cannot be read, is not of the expected form, or names a device twice. The
    /// message says where, and never repeats a key.
    pub fn read(path: &Path) -> Result<Self, FleetError> {
        let text = std::fs::read_to_string(path).map_err(|error| FleetError::File {
            path: path.to_owned(),
            error,
        })?;
        Self::parse(&text).map_err(|reason| FleetError::Devices {
            path: path.to_owned(),
            reason,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: DevicesFile = serde_json::from_str(text).map_err(|error| shape(&error))?;
        let mut devices = Self::default();
        for entry in file.devices {
            let device = entry.device()?;
            if devices.iter().any(|known| known.name == device.name) {
                return Err(format!("the name `{}` stands there twice", device.name));
            }
            if let Some(twice) = devices.insert(device) {
                return Err(format!("device {} stands there twice", twice.id));
            }
        }
        Ok(devices)
    }

    /// Adds a device, and returns the one of the same id that it replaces.
    pub fn insert(&mut self, device: Device) -> Option<Device> {
        self.by_id.insert(device.id, device)
    }

    /// The device of that id.
    pub fn get(&self, id: DeviceId) -> Option<&Device> {
        self.by_id.get(&id)
    }

    /// All devices in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.by_id.values()
    }

    /// Whether a login at a broker is that of a known device: its id as client id and as user name,
    /// with its password. Takes the same time wherever a password differs.
    pub fn admit(&self, client: &str, user: &str, password: &str) -> bool {
        let known = user.parse().ok().and_then(|id| self.get(id));
        known.is_some_and(|device| {
            client == device.id.to_string() && user == client && device.expects(password)
        })
    }

    /// What acknowledges the device's records up to `up_to` over MQTT: the body of an `acknowledge`
    /// request, CBOR `[up_to, tag]`. `None` for an unknown device.
    pub fn acknowledgement(&self, device: DeviceId, up_to: u32) -> Option<Vec<u8>> {
        let tag = self.get(device)?.credential.acknowledgement(device, up_to);
        let mut body = [0; ACKNOWLEDGEMENT_BYTES];
        let mut encoder = Encoder::new(Cursor::new(&mut body[..]));
        encoder.array(2).ok()?.u32(up_to).ok()?.bytes(&tag).ok()?;
        let length = encoder.writer().position();
        body.get(..length).map(<[u8]>::to_vec)
    }
}

impl FromIterator<Device> for Devices {
    fn from_iter<I: IntoIterator<Item = Device>>(devices: I) -> Self {
        Self {
            by_id: devices
                .into_iter()
                .map(|device| (device.id, device))
                .collect(),
        }
    }
}

impl Device {
    /// The device's password at a broker, as it is sent.
    pub fn password(&self) -> String {
        hexadecimal(&self.credential.password(self.id))
    }

    fn expects(&self, password: &str) -> bool {
        same(self.password().as_bytes(), password.as_bytes())
    }
}

impl DeviceEntry {
    fn device(self) -> Result<Device, String> {
        let id: DeviceId = self
            .device
            .parse()
            .map_err(|error| format!("device `{}`: {error}", self.device))?;
        let key = key(&self.key)
            .ok_or_else(|| format!("device {id}: expected a key of 64 hexadecimal digits"))?;
        let name = self
            .name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| id.to_string());
        Ok(Device {
            id,
            name,
            credential: Credential(key),
        })
    }
}

fn key(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Where the JSON breaks, without what stands there, which may be a key.
fn shape(error: &serde_json::Error) -> String {
    format!(
        "line {}, column {}: expected {{\"devices\": [{{\"device\": …, \"key\": …}}]}}",
        error.line(),
        error.column()
    )
}

/// Equality in a time that does not depend on where the bytes differ.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |differ, (l, r)| differ | (l ^ r))
            == 0
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn entry(device: &str, key: &str) -> String {
        format!(
            r#"{{"devices": [{{"device": "{device}", "name": "kitchen", "key": "{key}", "target": "local"}}]}}"#
        )
    }

    #[test]
    fn the_file_gives_ids_names_and_keys() {
        let devices = Devices::parse(&entry("00112233445566ff", KEY)).unwrap();
        let device = devices.get("00112233445566ff".parse().unwrap()).unwrap();
        assert_eq!(device.name, "kitchen");
        assert_eq!(
            device.credential,
            Credential(std::array::from_fn(|i| i as u8))
        );
        assert_eq!(devices.iter().count(), 1);
    }

    #[test]
    fn a_wrong_file_is_refused_without_repeating_the_key() {
        let secret = &KEY[..63];
        for text in [
            entry("0011", KEY),
            entry("00112233445566ff", secret),
            format!("[\"{secret}\"]"),
            format!("{{\"devices\": \"{secret}\"}}"),
        ] {
            let reason = Devices::parse(&text).unwrap_err();
            assert!(!reason.contains(secret), "{reason}");
        }
    }

    #[test]
    fn a_device_is_admitted_with_its_own_password_only() {
        let devices = Devices::parse(&entry("00112233445566ff", KEY)).unwrap();
        let password = devices.iter().next().unwrap().password();
        let id = "00112233445566ff";
        assert!(devices.admit(id, id, &password));
        for (client, user, password) in [
            (id, id, ""),
            (id, id, KEY),
            ("other", id, &*password),
            (id, "other", &*password),
            (id, "00112233445566fe", &*password),
        ] {
            assert!(!devices.admit(client, user, password));
        }
    }

    #[test]
    fn an_acknowledgement_is_a_number_and_the_devices_tag() {
        let devices = Devices::parse(&entry("00112233445566ff", KEY)).unwrap();
        let device = devices.iter().next().unwrap();
        for up_to in [0, 41, 300, u32::MAX] {
            let body = devices.acknowledgement(device.id, up_to).unwrap();
            let (number, tag) = body.split_at(body.len() - 16);
            assert_eq!(minicbor::Decoder::new(&number[1..]).u32().unwrap(), up_to);
            assert_eq!((number.first(), number.last()), (Some(&0x82), Some(&0x50)));
            assert!(
                device
                    .credential
                    .confirms_acknowledgement(device.id, up_to, tag)
            );
        }
        assert_eq!(devices.acknowledgement(DeviceId([0; 8]), 1), None);
    }

    #[test]
    fn keys_are_not_shown() {
        let devices = Devices::parse(&entry("00112233445566ff", KEY)).unwrap();
        assert!(!format!("{devices:?}").contains("1, 2, 3"));
    }
}
