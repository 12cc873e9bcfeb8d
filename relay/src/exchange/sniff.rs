//! Sniffs a missing `Content-Type` from the first bytes of a body, as Go's server does
//! (the WHATWG MIME sniffing standard, section 7).

use http::header::HeaderValue;

/// The most bytes of a body that are inspected.
const SNIFFED_MAX: usize = 512;

/// The type of a body that begins with `data`.
pub(crate) fn content_type(data: &[u8]) -> HeaderValue {
    let data = &data[..data.len().min(SNIFFED_MAX)];
    let start = data.iter().position(|byte| !is_blank(*byte)).unwrap_or(data.len());
    let sniffed = html(&data[start..])
        .or_else(|| data[start..].starts_with(b"<?xml").then_some("text/xml; charset=utf-8"))
        .or_else(|| exact(data))
        .or_else(|| container(data))
        .or_else(|| mp4(data))
        .unwrap_or_else(|| text(&data[start..]));
    HeaderValue::from_static(sniffed)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

fn html(data: &[u8]) -> Option<&'static str> {
    const TAGS: &[&[u8]] = &[
        b"<!DOCTYPE HTML",
        b"<HTML",
        b"<HEAD",
        b"<SCRIPT",
        b"<IFRAME",
        b"<H1",
        b"<DIV",
        b"<FONT",
        b"<TABLE",
        b"<A",
        b"<STYLE",
        b"<TITLE",
        b"<B",
        b"<BODY",
        b"<BR",
        b"<P",
        b"<!--",
    ];
    let is_tag = |tag: &&[u8]| {
        data.len() > tag.len()
            && data[..tag.len()].eq_ignore_ascii_case(tag)
            && matches!(data[tag.len()], b' ' | b'>')
    };
    TAGS.iter().any(is_tag).then_some("text/html; charset=utf-8")
}

/// Types known by their first bytes.
fn exact(data: &[u8]) -> Option<&'static str> {
    const MAGIC: &[(&[u8], &str)] = &[
        (b"%PDF-", "application/pdf"),
        (b"%!PS-Adobe-", "application/postscript"),
        (b"\xEF\xBB\xBF", "text/plain; charset=utf-8"),
        (b"\x00\x00\x01\x00", "image/x-icon"),
        (b"\x00\x00\x02\x00", "image/x-icon"),
        (b"BM", "image/bmp"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xFF\xD8\xFF", "image/jpeg"),
        (b"ID3", "audio/mpeg"),
        (b"OggS\x00", "application/ogg"),
        (b"MThd\x00\x00\x00\x06", "audio/midi"),
        (b"\x1A\x45\xDF\xA3", "video/webm"),
        (b"\x00\x01\x00\x00", "font/ttf"),
        (b"OTTO", "font/otf"),
        (b"ttcf", "font/collection"),
        (b"wOFF", "font/woff"),
        (b"wOF2", "font/woff2"),
        (b"\x1F\x8B\x08", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"Rar!\x1A\x07\x00", "application/x-rar-compressed"),
        (b"Rar!\x1A\x07\x01\x00", "application/x-rar-compressed"),
        (b"\x00\x61\x73\x6D", "application/wasm"),
    ];
    if data.len() >= 4 && matches!(data[..2], [0xFE, 0xFF]) {
        return Some("text/plain; charset=utf-16be");
    }
    if data.len() >= 4 && matches!(data[..2], [0xFF, 0xFE]) {
        return Some("text/plain; charset=utf-16le");
    }
    // Thirty-four bytes of anything and then `LP`: an embedded OpenType font.
    if data.len() >= 36 && &data[34..36] == b"LP" {
        return Some("application/vnd.ms-fontobject");
    }
    MAGIC.iter().find(|(magic, _)| data.starts_with(magic)).map(|(_, name)| *name)
}

/// Types that are named in the head of a generic container.
fn container(data: &[u8]) -> Option<&'static str> {
    if data.len() < 12 {
        return None;
    }
    match (&data[..4], &data[8..12]) {
        (b"RIFF", b"WAVE") => Some("audio/wave"),
        (b"RIFF", b"AVI ") => Some("video/avi"),
        (b"RIFF", b"WEBP") if data.get(12..14) == Some(b"VP") => Some("image/webp"),
        (b"FORM", b"AIFF") => Some("audio/aiff"),
        _ => None,
    }
}

fn mp4(data: &[u8]) -> Option<&'static str> {
    let size = u32::from_be_bytes(data.get(..4)?.try_into().ok()?) as usize;
    if size < 12 || !size.is_multiple_of(4) || data.len() < size || &data[4..8] != b"ftyp" {
        return None;
    }
    let brands = data[8..size].chunks_exact(4).enumerate();
    brands
        .filter(|(index, _)| *index != 1)
        .any(|(_, brand)| brand.starts_with(b"mp4"))
        .then_some("video/mp4")
}

fn text(data: &[u8]) -> &'static str {
    let is_binary = |byte: &u8| matches!(byte, 0..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F);
    match data.iter().any(is_binary) {
        true => "application/octet-stream",
        false => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_gos_server() {
        let cases: &[(&[u8], &str)] = &[
            (b"hello", "text/plain; charset=utf-8"),
            (b"", "text/plain; charset=utf-8"),
            (b"  \n<html><body>", "text/html; charset=utf-8"),
            (b"<!doctype HTML>", "text/html; charset=utf-8"),
            (b"<htmlx", "text/plain; charset=utf-8"),
            (b"<?xml version", "text/xml; charset=utf-8"),
            (b"{\"a\": 1}", "text/plain; charset=utf-8"),
            (b"%PDF-1.7", "application/pdf"),
            (b"\x89PNG\r\n\x1a\n....", "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"GIF89a...", "image/gif"),
            (b"RIFF\x01\x02\x03\x04WEBPVP8 ", "image/webp"),
            (b"RIFF\x01\x02\x03\x04WAVEfmt ", "audio/wave"),
            (b"\x1f\x8b\x08\x00", "application/x-gzip"),
            (b"PK\x03\x04", "application/zip"),
            (b"\x00asm\x01", "application/wasm"),
            (b"\xfe\xff\x00a", "text/plain; charset=utf-16be"),
            (b"\xff\xfea\x00", "text/plain; charset=utf-16le"),
            (b"\xef\xbb\xbfabc", "text/plain; charset=utf-8"),
            (b"\x00\x01\x02", "application/octet-stream"),
            (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video/mp4"),
        ];
        for (data, expected) in cases {
            assert_eq!(content_type(data), *expected, "{}", data.escape_ascii());
        }
    }
}
