//! The few forms of the WebAssembly binary format that are written here: sections, numbers, names.

/// What every module begins with.
pub(super) const HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";

/// Appends a section.
pub(super) fn section(wasm: &mut Vec<u8>, id: u8, content: &[u8]) {
    wasm.push(id);
    number(wasm, content.len() as u64);
    wasm.extend_from_slice(content);
}

/// Appends an unsigned number (LEB128).
pub(super) fn number(wasm: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        wasm.push(value as u8 | 0x80);
        value >>= 7;
    }
    wasm.push(value as u8);
}

/// Appends a signed number (LEB128).
pub(super) fn signed(wasm: &mut Vec<u8>, mut value: i64) {
    while !(-0x40..0x40).contains(&value) {
        wasm.push(value as u8 | 0x80);
        value >>= 7;
    }
    wasm.push(value as u8 & 0x7f);
}

/// Appends a name.
pub(super) fn name(wasm: &mut Vec<u8>, name: &str) {
    number(wasm, name.len() as u64);
    wasm.extend_from_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_format_has_them() {
        let unsigned = |value| {
            let mut bytes = Vec::new();
            number(&mut bytes, value);
            bytes
        };
        let signed = |value| {
            let mut bytes = Vec::new();
            signed(&mut bytes, value);
            bytes
        };
        assert_eq!(
            [unsigned(0), unsigned(127), unsigned(640)],
            [vec![0], vec![127], vec![0x80, 5]]
        );
        assert_eq!([signed(-1), signed(63), signed(64)], [vec![0x7f], vec![63], vec![0xc0, 0]]);
        assert_eq!(signed(-123_456), [0xc0, 0xbb, 0x78]);
    }
}
