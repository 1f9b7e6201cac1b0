//! Sizes such as `64m` and `1.5g`. You do not need to read this file.

/// Each unit is 1024 times the unit before it, as everywhere in Docker.
const UNITS: [&str; 6] = ["", "k", "m", "g", "t", "p"];

/// Parses `64m`, `64M`, `64mb`, `64MiB`, `0.0625g` or `67108864` into bytes.
pub fn parse(text: &str) -> Option<u64> {
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !number(c)).unwrap_or(text.len());
    let (count, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let power = UNITS.iter().position(|known| {
        let rest = unit.strip_prefix(known);
        rest.is_some_and(|rest| {
            matches!(rest, "" | "b") || rest == "ib" && !known.is_empty()
        })
    })?;

    // Integers keep 1.1g exact. A fraction of a byte is dropped, as in Docker.
    let (whole, fraction) = count.split_once('.').unwrap_or((count, ""));
    let digits = format!("{whole}{fraction}").parse::<u128>().ok()?;
    let places = fraction.len().try_into().ok()?;
    let bytes =
        digits.checked_mul(1 << (10 * power))? / 10_u128.checked_pow(places)?;
    // The kernel stores a file's size as a signed number.
    i64::try_from(bytes).ok().filter(|bytes| *bytes > 0).map(i64::cast_unsigned)
}

/// Formats bytes in the largest unit that leaves no fraction.
pub fn format(bytes: u64) -> String {
    let power = (bytes.trailing_zeros() as usize / 10).min(UNITS.len() - 1);
    format!("{}{}", bytes >> (10 * power), UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, bytes, spelled) in [
            ("1", 1, "1"),
            ("512b", 512, "512"),
            ("1000", 1000, "1000"),
            ("1024", 1 << 10, "1k"),
            ("64m", 64 << 20, "64m"),
            ("64M", 64 << 20, "64m"),
            ("64mb", 64 << 20, "64m"),
            ("64MiB", 64 << 20, "64m"),
            ("65536K", 64 << 20, "64m"),
            ("1536m", 1536 << 20, "1536m"),
            ("1GiB", 1 << 30, "1g"),
            ("3t", 3 << 40, "3t"),
            ("1.5g", 1536 << 20, "1536m"),
            ("0.5g", 512 << 20, "512m"),
            (".5GiB", 512 << 20, "512m"),
            ("5.m", 5 << 20, "5m"),
            ("00.0625g", 64 << 20, "64m"),
            // 1.1 GiB is 1181116006.4 bytes.
            ("1.1g", 1_181_116_006, "1181116006"),
            ("1.9999999999999999999g", (2 << 30) - 1, "2147483647"),
            ("1023.9", 1023, "1023"),
            ("8191.9999999999999999p", i64::MAX as u64, "9223372036854775807"),
            ("2048t", 2 << 50, "2p"),
            ("9223372036854775807", i64::MAX as u64, "9223372036854775807"),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
            assert_eq!(format(bytes), spelled, "{text}");
            assert_eq!(parse(spelled), Some(bytes), "{spelled}");
        }
    }

    #[test]
    fn invalid_sizes_are_rejected() {
        for text in [
            "",
            "0",
            "0m",
            "-1",
            "+1",
            "m",
            "1,5g",
            "1.5.0g",
            ".",
            ".g",
            "0.0004k",
            "0.9",
            "1e3",
            "1.5gg",
            "64ib",
            "1.00000000000000000000000000000000000000001g",
            "64 m",
            " 64m",
            "64x",
            "64mm",
            "64bb",
            "64mi",
            "0x40",
            "6e4",
            "٦٤m",
            "8192p",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999p",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
