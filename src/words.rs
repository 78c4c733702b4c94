//! Closed sets of words that stand in the status, in events and in logs: enums whose variants are spelled as the words
//! are, so that code, documentation and tests speak of the same set.

/// Declares such an enum, with [`ALL`](crate::api::Reason::ALL) of its words in their order, and `as_str` and
/// `Display` for each.
macro_rules! words {
    ($(#[$of_set:meta])* pub enum $Set:ident { $($(#[$of_word:meta])* $Word:ident,)+ }) => {
        $(#[$of_set])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $Set {
            $($(#[$of_word])* $Word,)+
        }

        impl $Set {
            /// Every word of the set, in its order.
            pub const ALL: &[Self] = &[$(Self::$Word),+];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Word => stringify!($Word),)+
                }
            }
        }

        impl std::fmt::Display for $Set {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;
