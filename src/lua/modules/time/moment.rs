//! Instants with a zone, and the calendar: everything about time that needs neither Lua nor layouts.
//!
//! The calendar is our own (proleptic Gregorian, any year); jiff answers one question, which offset a zone has at an
//! instant. Invariant: `seconds` stays within ±[`LIMIT`], so no arithmetic here overflows.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::lua::driver::Weight;

const DAY: i64 = 86_400;
const NANOS: i128 = 1_000_000_000;
/// About three thousand million years.
const LIMIT: i64 = 100_000_000_000_000_000;
/// 0001-01-01 00:00:00 UTC: the zero time, and what rounding counts from.
const ZERO: i64 = -62_135_596_800;

/// A location: where clocks show which offset when.
#[derive(Clone, Debug)]
pub enum Zone {
    Utc,
    /// The machine's zone.
    Local,
    Named(TimeZone),
    Fixed {
        name: Arc<str>,
        offset: i32,
        /// A name that the program gave is outside of its state, for as long as a time is in that zone.
        _weight: Option<Arc<Weight>>,
    },
}

/// What clocks show at an instant: seconds east of Greenwich, the abbreviation (`CET`, may be empty), and the season.
#[derive(Clone, Debug, PartialEq)]
pub struct Shift {
    pub seconds: i32,
    pub abbreviation: String,
    /// Summer time.
    pub summer: bool,
}

fn local() -> &'static TimeZone {
    static LOCAL: OnceLock<TimeZone> = OnceLock::new();
    LOCAL.get_or_init(|| TimeZone::try_system().unwrap_or(TimeZone::UTC))
}

impl Zone {
    /// The zone of that name in the IANA database; none when there is no such name.
    pub fn load(name: &str) -> Option<Zone> {
        match name {
            "UTC" => Some(Zone::Utc),
            "Local" => Some(Zone::Local),
            _ => TimeZone::get(name).ok().map(Zone::Named),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Zone::Utc => "UTC",
            Zone::Local => "Local",
            Zone::Named(zone) => zone.iana_name().unwrap_or_default(),
            Zone::Fixed { name, .. } => name,
        }
    }

    fn rules(&self) -> &TimeZone {
        match self {
            Zone::Named(zone) => zone,
            _ => local(),
        }
    }

    /// What clocks of the zone show at an instant, in Unix seconds.
    pub fn at(&self, seconds: i64) -> Shift {
        match self {
            Zone::Utc => Shift {
                seconds: 0,
                abbreviation: "UTC".to_owned(),
                summer: false,
            },
            Zone::Fixed { name, offset, .. } => Shift {
                seconds: *offset,
                abbreviation: name.to_string(),
                summer: false,
            },
            Zone::Local | Zone::Named(_) => {
                let info = self.rules().to_offset_info(timestamp(seconds));
                Shift {
                    seconds: info.offset().seconds(),
                    abbreviation: info.abbreviation().to_owned(),
                    summer: info.dst().is_dst(),
                }
            }
        }
    }

    /// The offset that holds when clocks show `civil` (in seconds as if they showed UTC). Of two the earlier instant; in a
    /// gap the offset from before it.
    fn offset_of(&self, civil: i64) -> i64 {
        match self {
            Zone::Utc => 0,
            Zone::Fixed { offset, .. } => i64::from(*offset),
            Zone::Local | Zone::Named(_) => {
                let clock = Offset::UTC.to_datetime(timestamp(civil));
                let instant = self.rules().to_ambiguous_timestamp(clock).compatible();
                instant.map_or(0, |instant| timestamp(civil).as_second() - instant.as_second())
            }
        }
    }
}

/// The nearest instant that jiff can express: beyond its years a zone keeps its last offset.
fn timestamp(seconds: i64) -> Timestamp {
    let bounds = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds.clamp(bounds.0, bounds.1)).unwrap_or_default()
}

/// An instant, and the zone in which it is shown.
#[derive(Clone, Debug)]
pub struct Moment {
    seconds: i64,
    nanosecond: u32,
    pub zone: Zone,
}

/// A date and a clock time as fields that may be out of range: the 32nd of a month is the first of the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub nanosecond: i64,
}

/// What a calendar and a clock in the moment's zone show.
#[derive(Clone, Debug)]
pub struct Civil {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub nanosecond: u32,
    /// 0 is Sunday.
    pub weekday: u32,
    /// Counted from 1.
    pub year_day: u32,
    pub shift: Shift,
}

impl Moment {
    /// That many seconds and nanoseconds (any number of them) after 1970-01-01 00:00:00 UTC.
    pub fn unix(seconds: i64, nanoseconds: i128, zone: Zone) -> Moment {
        Moment::at(i128::from(seconds) * NANOS + nanoseconds, zone)
    }

    fn at(nanoseconds: i128, zone: Zone) -> Moment {
        let limit = i128::from(LIMIT) * NANOS;
        let nanoseconds = nanoseconds.clamp(-limit, limit);
        Moment {
            seconds: nanoseconds.div_euclid(NANOS) as i64,
            nanosecond: nanoseconds.rem_euclid(NANOS) as u32,
            zone,
        }
    }

    /// The moment at which clocks of the zone show these fields.
    pub fn civil_in(fields: Fields, zone: Zone) -> Moment {
        let nanoseconds = fields.nanoseconds();
        let seconds = Moment::at(nanoseconds, Zone::Utc).seconds;
        let offset = i128::from(zone.offset_of(seconds));
        Moment::at(nanoseconds - offset * NANOS, zone)
    }

    /// The moment at which clocks that are `offset` seconds ahead of UTC show these fields.
    pub fn civil_at_offset(fields: Fields, offset: i32, zone: Zone) -> Moment {
        Moment::at(fields.nanoseconds() - i128::from(offset) * NANOS, zone)
    }

    pub fn unix_seconds(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds since 1970, the nearest `i64` for years beyond 1677 to 2262.
    pub fn unix_nanoseconds(&self) -> i64 {
        saturate(self.nanoseconds())
    }

    fn nanoseconds(&self) -> i128 {
        i128::from(self.seconds) * NANOS + i128::from(self.nanosecond)
    }

    pub fn is_zero(&self) -> bool {
        self.seconds == ZERO && self.nanosecond == 0
    }

    pub fn instant(&self) -> (i64, u32) {
        (self.seconds, self.nanosecond)
    }

    #[must_use]
    pub fn plus(&self, nanoseconds: i64) -> Moment {
        Moment::at(self.nanoseconds() + i128::from(nanoseconds), self.zone.clone())
    }

    /// Nanoseconds from `other` to this, the nearest `i64`.
    pub fn since(&self, other: &Moment) -> i64 {
        saturate(self.nanoseconds() - other.nanoseconds())
    }

    #[must_use]
    pub fn in_zone(&self, zone: Zone) -> Moment {
        Moment { zone, ..self.clone() }
    }

    /// Nanoseconds since the last multiple of `step` after the zero time.
    fn past_multiple(&self, step: i64) -> i128 {
        (self.nanoseconds() - i128::from(ZERO) * NANOS).rem_euclid(i128::from(step))
    }

    #[must_use]
    pub fn truncate(&self, step: i64) -> Moment {
        if step <= 0 {
            return self.clone();
        }
        Moment::at(self.nanoseconds() - self.past_multiple(step), self.zone.clone())
    }

    #[must_use]
    pub fn round(&self, step: i64) -> Moment {
        if step <= 0 {
            return self.clone();
        }
        let past = self.past_multiple(step);
        let up = if past * 2 >= i128::from(step) {
            i128::from(step)
        } else {
            0
        };
        Moment::at(self.nanoseconds() - past + up, self.zone.clone())
    }

    pub fn civil(&self) -> Civil {
        let shift = self.zone.at(self.seconds);
        let clock = self.seconds + i64::from(shift.seconds);
        let (days, second) = (clock.div_euclid(DAY), clock.rem_euclid(DAY) as u32);
        let (year, month, day) = date_of(days);
        Civil {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            nanosecond: self.nanosecond,
            weekday: (days + 4).rem_euclid(7) as u32,
            year_day: (days - days_to(year, 1) + 1) as u32,
            shift,
        }
    }
}

impl Civil {
    pub fn fields(&self) -> Fields {
        Fields {
            year: self.year,
            month: self.month.into(),
            day: self.day.into(),
            hour: self.hour.into(),
            minute: self.minute.into(),
            second: self.second.into(),
            nanosecond: self.nanosecond.into(),
        }
    }
}

impl Fields {
    /// Nanoseconds since 1970 if clocks show UTC.
    fn nanoseconds(&self) -> i128 {
        let months = i128::from(self.year) * 12 + i128::from(self.month) - 1;
        // Far beyond LIMIT on both sides, and small enough for `days_to`.
        let months = months.clamp(-100_000_000_000, 100_000_000_000) as i64;
        let days = days_to(months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
        let days = i128::from(days) + i128::from(self.day) - 1;
        let hours = days * 24 + i128::from(self.hour);
        let minutes = hours * 60 + i128::from(self.minute);
        (minutes * 60 + i128::from(self.second)) * NANOS + i128::from(self.nanosecond)
    }
}

fn saturate(number: i128) -> i64 {
    number.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// Days from 1970-01-01 to the first of a month. Years are counted from March, so that the leap day is their last.
fn days_to(year: i64, month: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = i64::from((month + 9) % 12);
    let day_of_year = (153 * month + 2) / 5;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

/// The inverse of [`days_to`], with the day of the month.
fn date_of(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days of a month.
pub fn month_length(year: i64, month: i64) -> i64 {
    let next = Fields {
        year,
        month: month + 1,
        ..Fields::default()
    };
    i64::from(Moment::civil_in(next, Zone::Utc).civil().day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(year: i64, month: i64, day: i64, hour: i64) -> Fields {
        Fields {
            year,
            month,
            day,
            hour,
            ..Fields::default()
        }
    }

    #[test]
    fn the_calendar_is_its_own_inverse() {
        for days in (-1_000_000..1_000_000).step_by(97) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_to(year, month) + i64::from(day) - 1, days);
        }
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(date_of(11_016), (2000, 2, 29));
        assert_eq!(
            (month_length(2023, 2), month_length(2000, 2), month_length(2023, 12)),
            (28, 29, 31)
        );
    }

    #[test]
    fn fields_out_of_range_move_on() {
        let moment = Moment::civil_in(fields(2023, 14, 32, 25), Zone::Utc);
        let civil = moment.civil();
        assert_eq!((civil.year, civil.month, civil.day, civil.hour), (2024, 3, 4, 1));
        let first = Moment::civil_in(fields(1, 1, 1, 0), Zone::Utc);
        assert!(first.is_zero() && first.civil().weekday == 1);
        for year in [i64::MIN, i64::MAX] {
            Moment::civil_in(fields(year, year, year, year), Zone::Local).civil();
        }
    }

    #[test]
    fn a_zone_changes_its_offset_with_the_season() {
        let zone = Zone::load("Europe/Berlin").unwrap();
        let winter = Moment::civil_in(fields(2024, 1, 15, 12), zone.clone());
        let summer = Moment::civil_in(fields(2024, 7, 15, 12), zone.clone());
        assert_eq!(winter.in_zone(Zone::Utc).civil().hour, 11);
        assert_eq!(summer.in_zone(Zone::Utc).civil().hour, 10);
        assert_eq!(summer.civil().shift.abbreviation, "CEST");
        // 02:30 does not exist on that day.
        let gap = Moment::civil_in(fields(2024, 3, 31, 2), zone).civil();
        assert_eq!((gap.hour, gap.day), (3, 31));
        assert!(Zone::load("Nowhere/Land").is_none());
    }

    #[test]
    fn rounding_counts_from_the_zero_time() {
        let hour = 3_600_000_000_000;
        let moment = Moment::unix(1_700_000_000, 500, Zone::Utc);
        assert_eq!(moment.truncate(hour).unix_seconds() % 3600, 0);
        assert_eq!(moment.truncate(hour).round(2).instant().1, 0);
        let half = moment.truncate(hour).plus(hour / 2);
        assert_eq!(half.round(hour).since(&half), hour / 2);
        assert_eq!(half.plus(-1).round(hour).since(&half), -hour / 2);
        assert_eq!(moment.round(0).instant(), moment.instant());
    }
}
