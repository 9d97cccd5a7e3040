//! What kind of character a `char` is, as far as the rules for cutting text into words ask: general categories
//! of Unicode as one bit each, and sets of characters made of them.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// A union of the classes below.
pub(crate) type Classes = u16;

/// Upper-case and title-case letters, `\p{Lu}\p{Lt}`.
pub(crate) const UPPER: Classes = 1 << 0;
/// Lower-case letters, `\p{Ll}`.
pub(crate) const LOWER: Classes = 1 << 1;
/// Modifiers and letters of scripts without case, `\p{Lm}\p{Lo}`.
pub(crate) const CASELESS: Classes = 1 << 2;
/// Letters, `\p{L}`.
pub(crate) const LETTER: Classes = UPPER | LOWER | CASELESS;
/// Marks that do not take room, `\p{Mn}`.
pub(crate) const ACCENT: Classes = 1 << 3;
/// The other marks, `\p{Mc}\p{Me}`.
pub(crate) const OTHER_MARK: Classes = 1 << 4;
/// Marks, `\p{M}`.
pub(crate) const MARK: Classes = ACCENT | OTHER_MARK;
/// Numbers, `\p{N}`.
pub(crate) const NUMBER: Classes = 1 << 5;
/// Punctuation, `\p{P}`.
pub(crate) const PUNCTUATION: Classes = 1 << 6;
/// Symbols, `\p{S}`.
pub(crate) const SYMBOL: Classes = 1 << 7;
/// Control, format, private and unassigned characters, `\p{C}`.
pub(crate) const CONTROL: Classes = 1 << 8;
/// White space, `\s`: the property, which cuts across the categories.
pub(crate) const SPACE: Classes = 1 << 9;

const ASCII: [Classes; 128] = ascii();

/// All classes of a character.
pub(crate) fn classes(c: char) -> Classes {
    if let Some(classes) = ASCII.get(c as usize) {
        return *classes;
    }
    let category = match c.general_category() {
        GeneralCategory::UppercaseLetter | GeneralCategory::TitlecaseLetter => UPPER,
        GeneralCategory::LowercaseLetter => LOWER,
        GeneralCategory::ModifierLetter | GeneralCategory::OtherLetter => CASELESS,
        GeneralCategory::NonspacingMark => ACCENT,
        GeneralCategory::SpacingMark | GeneralCategory::EnclosingMark => OTHER_MARK,
        GeneralCategory::DecimalNumber | GeneralCategory::LetterNumber | GeneralCategory::OtherNumber => {
            NUMBER
        }
        GeneralCategory::ConnectorPunctuation
        | GeneralCategory::DashPunctuation
        | GeneralCategory::OpenPunctuation
        | GeneralCategory::ClosePunctuation
        | GeneralCategory::InitialPunctuation
        | GeneralCategory::FinalPunctuation
        | GeneralCategory::OtherPunctuation => PUNCTUATION,
        GeneralCategory::MathSymbol
        | GeneralCategory::CurrencySymbol
        | GeneralCategory::ModifierSymbol
        | GeneralCategory::OtherSymbol => SYMBOL,
        GeneralCategory::SpaceSeparator
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => 0,
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::Surrogate
        | GeneralCategory::PrivateUse
        | GeneralCategory::Unassigned => CONTROL,
    };
    category | if c.is_whitespace() { SPACE } else { 0 }
}

/// The table that spares most text the look-up.
const fn ascii() -> [Classes; 128] {
    let mut table = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = match byte as u8 {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER,
            b'$' | b'+' | b'<' | b'=' | b'>' | b'^' | b'`' | b'|' | b'~' => SYMBOL,
            b' ' => SPACE,
            b'\t'..=b'\r' => CONTROL | SPACE,
            b'!'..=b'~' => PUNCTUATION,
            _ => CONTROL,
        };
        byte += 1;
    }
    table
}

/// A set of characters: those of some classes and of some ranges, or all others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Set {
    classes: Classes,
    ranges: &'static [(char, char)], // inclusive
    negated: bool,
}

impl Set {
    /// The set as regular expressions write it.
    pub(crate) fn class(&self) -> String {
        const NAMES: [(Classes, &str); 10] = [
            (LETTER, r"\p{L}"),
            (UPPER, r"\p{Lu}\p{Lt}"),
            (LOWER, r"\p{Ll}"),
            (CASELESS, r"\p{Lm}\p{Lo}"),
            (MARK, r"\p{M}"),
            (NUMBER, r"\p{N}"),
            (PUNCTUATION, r"\p{P}"),
            (SYMBOL, r"\p{S}"),
            (CONTROL, r"\p{C}"),
            (SPACE, r"\s"),
        ];
        let mut class = String::from(if self.negated { "[^" } else { "[" });
        let mut left = self.classes;
        for (classes, name) in NAMES {
            if left & classes == classes {
                class.push_str(name);
                left &= !classes;
            }
        }
        assert_eq!(left, 0, "no rule has a half of the marks");
        for &(first, last) in self.ranges {
            let (first, last) = (u32::from(first), u32::from(last));
            class.push_str(&format!(r"\x{{{first:x}}}"));
            if last > first {
                class.push_str(&format!(r"-\x{{{last:x}}}"));
            }
        }
        class + "]"
    }

    /// The characters of these classes.
    pub(crate) const fn of(classes: Classes) -> Set {
        Set { classes, ranges: &[], negated: false }
    }

    /// The characters of these ranges, both ends included.
    pub(crate) const fn ranges(ranges: &'static [(char, char)]) -> Set {
        Set { classes: 0, ranges, negated: false }
    }

    /// These ranges as well.
    pub(crate) const fn and(self, ranges: &'static [(char, char)]) -> Set {
        Set { ranges, ..self }
    }

    /// All characters that are not in this set.
    pub(crate) const fn not(self) -> Set {
        Set { negated: !self.negated, ..self }
    }

    /// Whether `c` is in the set.
    pub(crate) fn has(&self, c: char) -> bool {
        let in_ranges = || self.ranges.iter().any(|&(first, last)| first <= c && c <= last);
        let in_classes = self.classes != 0 && classes(c) & self.classes != 0;
        (in_classes || in_ranges()) != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ascii_table_says_what_unicode_says() {
        for byte in 0..128u8 {
            let c = byte as char;
            let expect = match c.general_category_group() {
                unicode_properties::GeneralCategoryGroup::Letter if c.is_uppercase() => UPPER,
                unicode_properties::GeneralCategoryGroup::Letter => LOWER,
                unicode_properties::GeneralCategoryGroup::Number => NUMBER,
                unicode_properties::GeneralCategoryGroup::Punctuation => PUNCTUATION,
                unicode_properties::GeneralCategoryGroup::Symbol => SYMBOL,
                unicode_properties::GeneralCategoryGroup::Separator => 0,
                _ => CONTROL,
            };
            let space = if c.is_whitespace() { SPACE } else { 0 };
            assert_eq!(classes(c), expect | space, "{c:?}");
        }
    }

    #[test]
    fn sets_have_classes_ranges_and_complements() {
        let word = Set::of(LETTER).and(&[('0', '4'), ('-', '-')]);
        for (c, expect) in [('é', true), ('中', true), ('3', true), ('5', false), ('-', true), (' ', false)]
        {
            assert_eq!(word.has(c), expect, "{c:?}");
            assert_eq!(word.not().has(c), !expect, "{c:?}");
        }
    }
}
