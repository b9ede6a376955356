//! Where images come from: the message, elsewhere, or from who counts readers.

use percent_encoding::percent_decode_str;

use super::rewrite::Attributes;
use super::trackers;
use crate::limits;

/// An image that tells its sender that the mail was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracker {
    /// The host that would have been asked.
    pub host: String,
    /// Who is known to count there; `None` for an image that is too small to be seen.
    pub service: Option<&'static str>,
}

pub(super) enum Image {
    /// A part of the message, or in the HTML itself: at this address.
    Shown(String),
    Remote(String),
    Tracker(Tracker),
    /// No image, or nothing that can be had.
    Unknown,
}

pub(super) fn decide(attributes: &Attributes, part: &dyn Fn(&str) -> Option<String>) -> Image {
    let of = |name: &str| {
        attributes
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let Some(src) = of("src").map(str::trim) else {
        return Image::Unknown;
    };
    let lower = src.get(..16).unwrap_or(src).to_ascii_lowercase();
    if lower.starts_with("cid:") {
        let id = percent_decode_str(&src[4..]).decode_utf8_lossy();
        return part(&id).map_or(Image::Unknown, Image::Shown);
    }
    if lower.starts_with("data:") {
        return if is_picture(src) {
            Image::Shown(src.to_owned())
        } else {
            Image::Unknown
        };
    }
    let Ok(url) = url::Url::parse(src) else {
        return Image::Unknown;
    };
    let (true, Some(host)) = (matches!(url.scheme(), "http" | "https"), url.host_str()) else {
        return Image::Unknown;
    };
    let service = trackers::service(host, url.path());
    if service.is_some() || is_unseen(of("width"), of("height"), of("style")) {
        return Image::Tracker(Tracker {
            host: host.to_owned(),
            service,
        });
    }
    Image::Remote(url.into())
}

/// A picture in the address itself, of a kind that holds nothing but pixels.
fn is_picture(src: &str) -> bool {
    let kinds = ["png", "gif", "jpeg", "jpg", "webp"];
    let lower = src.get(..40).unwrap_or(src).to_ascii_lowercase();
    let kind = kinds.iter().find_map(|kind| {
        let head = format!("data:image/{kind};base64,");
        lower.starts_with(&head).then_some(head.len())
    });
    kind.is_some_and(|head| {
        src.len() <= limits::DATA_IMAGE_OCTETS
            && src[head..]
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=\r\n\t ".contains(&b))
    })
}

/// At most 2 by 2 pixels, or hidden.
fn is_unseen(width: Option<&str>, height: Option<&str>, style: Option<&str>) -> bool {
    let style = style.unwrap_or_default().to_ascii_lowercase();
    let of_style = |property: &str| {
        style.split(';').find_map(|declaration| {
            let (name, value) = declaration.split_once(':')?;
            (name.trim() == property).then(|| value.trim().to_owned())
        })
    };
    let tiny = |attribute: Option<&str>, property: &str| {
        let value = of_style(property).or_else(|| attribute.map(str::to_owned));
        value.is_some_and(|value| {
            let value = value.trim().trim_end_matches("!important").trim();
            let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
            !value.ends_with('%') && digits.parse::<u32>().is_ok_and(|n| n <= 2)
        })
    };
    of_style("display").is_some_and(|v| v.starts_with("none"))
        || of_style("visibility").is_some_and(|v| v.starts_with("hidden"))
        || (tiny(width, "width") && tiny(height, "height"))
}
