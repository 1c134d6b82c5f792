//! Sizes in bytes, as Redis writes them: `512mb`.

/// Parses a size in bytes: a number, optionally followed by a unit in upper or lower case. `k`, `m` and `g`
/// are powers of 1000; `kb`, `mb` and `gb` are powers of 1024.
pub fn parse(size: &str) -> Option<usize> {
    let length = size.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = size.split_at(length);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_written_as_redis_writes_them() {
        let cases =
            [("0", 0), ("1b", 1), ("2k", 2_000), ("2KB", 2_048), ("512mb", 512 << 20), ("1Gb", 1 << 30)];
        for (size, bytes) in cases {
            assert_eq!(parse(size), Some(bytes), "{size}");
        }
        for size in ["", "mb", "1 mb", "-1", "1.5gb", "1tb", "99999999999999999999", "18446744073709551615k"]
        {
            assert_eq!(parse(size), None, "{size}");
        }
    }
}
