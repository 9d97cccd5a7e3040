//! `strftime_now`: formats an instant that the caller gives, in UTC and English, with Python's directives.

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// An instant taken apart; months, days and weekdays count from 0, weekdays from Sunday.
struct Moment {
    year: i64,
    month: usize,
    day: usize,
    weekday: usize,
    day_of_year: usize,
    second_of_day: usize,
}

/// Formats `unix_seconds` as Python's `datetime.strftime` does in UTC.
pub(super) fn strftime(unix_seconds: i64, format: &str) -> Result<String, Error> {
    let moment = Moment::at(unix_seconds);
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let (directive, unpadded) = match chars.next() {
            Some('-') => (chars.next(), true),
            directive => (directive, false),
        };
        let field = directive.and_then(|directive| moment.field(directive)).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("strftime_now does not know the directive %{}", directive.unwrap_or(' ')),
            )
        })?;
        let padding: &[char] = if unpadded { &['0', ' '] } else { &[] };
        match field.trim_start_matches(padding) {
            "" => text.push_str(&field[field.len().saturating_sub(1)..]),
            field => text.push_str(field),
        }
    }
    Ok(text)
}

impl Moment {
    /// The civil date of days since 1970, by Hinnant's `civil_from_days`: years start in March, so that a leap day is
    /// the last day of its year.
    fn at(unix_seconds: i64) -> Moment {
        let days = unix_seconds.div_euclid(86_400);
        let from_march_0000 = days + 719_468;
        let era = from_march_0000.div_euclid(146_097);
        let day_of_era = from_march_0000.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_march_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_march_year + 2) / 153;
        let day = day_of_march_year - (153 * month_from_march + 2) / 5;
        let month = (month_from_march + 2) % 12;
        let year = year_of_era + era * 400 + i64::from(month < 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        // January and February of this civil year end the March year that began in the one before.
        let day_of_year = match month {
            0 | 1 => day_of_march_year - 306,
            _ => day_of_march_year + 59 + i64::from(leap),
        };
        let small = |n: i64| usize::try_from(n).expect("a field of a date is small and not negative");
        Moment {
            year,
            month: small(month),
            day: small(day),
            weekday: small((days + 4).rem_euclid(7)),
            day_of_year: small(day_of_year),
            second_of_day: small(unix_seconds.rem_euclid(86_400)),
        }
    }

    fn field(&self, directive: char) -> Option<String> {
        let hour = self.second_of_day / 3600;
        let minute = self.second_of_day / 60 % 60;
        let second = self.second_of_day % 60;
        let hour_of_12 = (hour + 11) % 12 + 1;
        let (month, day) = (self.month + 1, self.day + 1);
        Some(match directive {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => format!("{month:02}"),
            'B' => MONTHS[self.month].to_owned(),
            'b' | 'h' => MONTHS[self.month][..3].to_owned(),
            'd' => format!("{day:02}"),
            'e' => format!("{day:2}"),
            'j' => format!("{:03}", self.day_of_year + 1),
            'A' => WEEKDAYS[self.weekday].to_owned(),
            'a' => WEEKDAYS[self.weekday][..3].to_owned(),
            'w' => self.weekday.to_string(),
            'u' => ((self.weekday + 6) % 7 + 1).to_string(),
            'H' => format!("{hour:02}"),
            'I' => format!("{hour_of_12:02}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'f' => "000000".to_owned(),
            'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'F' => format!("{}-{month:02}-{day:02}", self.year),
            'D' | 'x' => format!("{month:02}/{day:02}/{:02}", self.year.rem_euclid(100)),
            'T' | 'X' => format!("{hour:02}:{minute:02}:{second:02}"),
            'R' => format!("{hour:02}:{minute:02}"),
            'c' => format!(
                "{} {} {day:2} {hour:02}:{minute:02}:{second:02} {}",
                &WEEKDAYS[self.weekday][..3],
                &MONTHS[self.month][..3],
                self.year
            ),
            // The instant carries no zone, and neither does a Python datetime made without one.
            'Z' | 'z' => String::new(),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}
