//! Finds values in JSON text by key, without reading what lies beside them, and reads texts without copying them.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// One step from a value to values inside it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Into the value of a key.
    Key(String),
    /// Into every item of a list.
    Items,
    /// Into every item of a list or every value of a map.
    Each,
}

impl Step {
    /// What is one step further; null counts as nothing. `None` where the step cannot be made: a key of a list, an item
    /// of a map or a text.
    pub(super) fn take<'a>(&self, place: &'a RawValue) -> Option<Vec<&'a RawValue>> {
        match self {
            Self::Key(key) => values(place, Values::Of(key)),
            Self::Items => values(place, Values::Items),
            Self::Each => values(place, Values::All),
        }
    }
}

/// The value of a key, if there is one and it is not null. `None` where the place is no object.
#[expect(clippy::option_option, reason = "being no object and having no such key differ")]
pub(super) fn at_key<'a>(place: &'a RawValue, key: &str) -> Option<Option<&'a RawValue>> {
    values(place, Values::Of(key)).map(|found| found.first().copied())
}

fn values<'a>(place: &'a RawValue, wanted: Values<'_>) -> Option<Vec<&'a RawValue>> {
    let mut reader = serde_json::Deserializer::from_str(place.get());
    let found = reader.deserialize_any(wanted).ok()?;
    Some(found.into_iter().filter(|value| value.get() != "null").collect())
}

/// Collects values.
enum Values<'s> {
    /// That of a key.
    Of(&'s str),
    /// Those of a list.
    Items,
    /// Those of a list or a map.
    All,
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Of(_) => "an object",
            Self::Items => "a list",
            Self::All => "a list or an object",
        })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let wanted = match self {
            Self::Of(key) => Some(key),
            Self::All => None,
            Self::Items => return Err(serde::de::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        };
        let mut values = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if wanted.is_none_or(|wanted| wanted == key) {
                values.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(values)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        if matches!(self, Self::Of(_)) {
            return Err(serde::de::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(values)
    }
}

/// Text that is borrowed from the answer wherever it can be; null is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Text<'_> {
    /// The moment that it names, if it names one.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.0.parse().ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
