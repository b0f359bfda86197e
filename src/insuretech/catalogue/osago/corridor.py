"""The corridor itself: T = TB · KT · KBM · KVS · KO · KM · KS (KP in place of KS for foreign and transit vehicles).

Formula and order of annex 4 to Directive 6007-U as amended by 7204-U. Premiums are rounded to the kopeck, half up. The
ceiling of 3 × TB × KT (Federal Law 40-FZ, art. 9) is not applied: we have no confirmed wording of it, and leaving it
out can only let an offer through that the insurer's own tariff must keep lawful.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import prod

from insuretech.catalogue.osago.case import Case, Driver
from insuretech.catalogue.osago.tariff import (
    CONFIRMED,
    WHOLE_REGION,
    AgeAndExperience,
    Basis,
    Edition,
    Rate,
    Tariff,
    TerritoryRate,
    in_force,
)
from insuretech.contracts.answers import AnswerFault
from insuretech.contracts.money import Money
from insuretech.contracts.tariffs import Corridor, Factor
from insuretech.contracts.text import Language, Text

ONE = Decimal(1)


class Refused(Exception):
    """The tables lack what one factor needs; ``pointer`` is the answer that leads out of them."""

    def __init__(self, pointer: str, text: Text) -> None:
        super().__init__(text.en)
        self.pointer = pointer
        self.text = text


class CorridorRefused(Exception):
    """All that the tables lack for a case."""

    def __init__(self, faults: list[AnswerFault]) -> None:
        super().__init__("; ".join(fault.text.en for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Applied:
    """A factor as it entered the product: ``least`` and ``greatest`` differ for TB and for insurer-set KS alone."""

    code: str
    least: Decimal
    greatest: Decimal
    why: Text
    basis: Basis

    def told(self, language: Language) -> Factor:
        one_value = self.least == self.greatest and self.code != "TB"
        return Factor(
            code=self.code,
            value=plain(self.least) if one_value else None,
            min=None if one_value else plain(self.least),
            max=None if one_value else plain(self.greatest),
            why=self.why.in_language(language),
            source=self.basis.source(language),
            status=None if self.basis.status == CONFIRMED else self.basis.status,
        )


@dataclass(frozen=True, slots=True)
class Calculation:
    """The factors of one case under one edition."""

    edition: str
    factors: tuple[Applied, ...]

    def told(self, language: Language) -> Corridor:
        return Corridor(
            edition=self.edition,
            min=Money.rounded(prod((factor.least for factor in self.factors), start=ONE)),
            max=Money.rounded(prod((factor.greatest for factor in self.factors), start=ONE)),
            factors=tuple(factor.told(language) for factor in self.factors),
        )


def edition_on(tariff: Tariff, on: date) -> Edition:
    """The edition a contract concluded that day goes by; raises ``CorridorRefused`` before the first we hold."""
    edition = tariff.edition(on)
    if edition is None:
        first = tariff.editions[0].since
        text = Text(
            f"Тарифы для договоров, заключённых до {first:%d.%m.%Y}, у нас не собраны.",
            f"We hold no tariffs for contracts concluded before {first.isoformat()}.",
        )
        raise CorridorRefused([AnswerFault("/concluded_on", "tariff-unavailable", text)])
    return edition


def calculate(tariff: Tariff, case: Case, on: date) -> Calculation:
    """The corridor of a contract concluded ``on``; raises ``CorridorRefused`` with everything the tables lack."""
    edition = edition_on(tariff, on)
    factors: list[Applied] = []
    refusals: dict[str, AnswerFault] = {}
    for factor in _FACTORS:
        try:
            applied = factor(tariff, case, on)
        except Refused as refused:
            refusals.setdefault(refused.pointer, AnswerFault(refused.pointer, "tariff-unavailable", refused.text))
        else:
            factors.append(applied)
    if case.trailer:
        text = Text(
            "Коэффициента для прицепа нет в наших данных: посчитать коридор с прицепом мы не можем.",
            "Our data hold no coefficient for a trailer, so the corridor with a trailer cannot be computed.",
        )
        refusals["/vehicle/trailer"] = AnswerFault("/vehicle/trailer", "tariff-unavailable", text)
    if refusals:
        raise CorridorRefused(list(refusals.values()))
    return Calculation(_named(edition, factors), tuple(factors))


def _named(edition: Edition, factors: list[Applied]) -> str:
    """The edition, with every later act that one of the numbers comes from (KT of one region, say)."""
    later = {factor.basis.directive for factor in factors if factor.basis.since > edition.since} - {edition.name}
    return ", ".join([edition.name, *sorted(later)])


def base_rate(tariff: Tariff, case: Case, on: date) -> Applied:
    """TB by category, kind of owner and use."""
    asked = _applies_to(case)
    rows = [row for row in tariff.base_rates if case.category in row.categories and asked in row.applies_to]
    row = next(iter(in_force(rows, on)), None)
    if row is None:
        text = Text(
            f"Для категории {case.category} с таким использованием базовой ставки на {on:%d.%m.%Y} нет в наших данных.",
            f"Our data hold no base rate for category {case.category} with this use on {on.isoformat()}.",
        )
        raise Refused("/vehicle/purpose" if case.purpose == "regular_route" else "/vehicle/category", text)
    if row.minimum is None:
        text = Text(
            f"«{row.title.ru}»: на {on:%d.%m.%Y} известен только верхний предел базовой ставки.",
            f"{row.title.en}: only the upper limit of the base rate is known on {on.isoformat()}.",
        )
        raise Refused("/vehicle/category", text)
    why = Text(f"Базовая ставка: {row.title.ru.lower()}", f"Base rate: {row.title.en.lower()}")
    return Applied("TB", row.minimum, row.maximum, why, row.basis)


def _applies_to(case: Case) -> str:
    if case.category in {"B", "BE"}:
        return "taxi" if case.purpose == "taxi" else case.owner
    if case.category in {"C", "CE"}:
        return "up_to_16_t" if (case.max_mass or 0) <= 16_000 else "over_16_t"
    return "regular_route" if case.purpose == "regular_route" else "any"


def territory(tariff: Tariff, case: Case, on: date) -> Applied:
    """KT by the owner's place; foreign vehicles have one of their own, on the way to registration it is left out."""
    if case.registration == "transit":
        why = Text(
            "Не применяется: транспорт следует к месту регистрации, вместо территории учитывается срок (КП)",
            "Not applied: the vehicle is on its way to registration, the period (KP) counts instead",
        )
        return _special(tariff, on, "transit", "KT", why)
    if case.registration == "foreign":
        return _foreign_territory(tariff, case, on)
    region = tariff.region(case.region or "")
    if region is None:
        text = Text(
            f"Региона «{case.region}» нет в наших таблицах. Выберите регион из списка.",
            f"The region “{case.region}” is not in our tables. Choose one from the list.",
        )
        raise Refused("/owner/region", text)
    row = tariff.territory(region, case.territory or "", on)
    if row is None:
        text = Text(
            f"Коэффициента для «{case.territory}» ({region}) на {on:%d.%m.%Y} нет в наших данных; "
            "подставлять похожий мы не станем.",
            f"Our data hold no coefficient for “{case.territory}” ({region}) on {on.isoformat()}, "
            "and we do not put a similar one in its place.",
        )
        raise Refused("/owner/territory", text)
    return _domestic_territory(case, row)


def _domestic_territory(case: Case, row: TerritoryRate) -> Applied:
    whole = row.territory in {WHOLE_REGION, row.region}
    where = row.region if whole else f"{row.territory}, {row.region}"
    if case.category != "special":
        why = Text(f"Место регистрации собственника: {where}", f"Where the owner is registered: {where}")
        return Applied("KT", row.value, row.value, why, row.basis)
    if row.tractors is None:
        text = Text(
            f"Коэффициента для тракторов и самоходных машин ({where}) нет в наших данных.",
            f"Our data hold no coefficient for tractors and self-propelled machines ({where}).",
        )
        raise Refused("/owner/territory", text)
    why = Text(f"Тракторы и самоходные машины: {where}", f"Tractors and self-propelled machines: {where}")
    return Applied("KT", row.tractors, row.tractors, why, row.basis)


def _foreign_territory(tariff: Tariff, case: Case, on: date) -> Applied:
    if case.category in {"A", "A1", "M", "B1", "B", "BE"}:
        rate = tariff.rate(tariff.foreign, on, "cars_and_motorcycles")
        why = Text("Легковой автомобиль или мотоцикл зарегистрирован за рубежом", "Car or motorcycle registered abroad")
    else:
        if case.unfriendly_state is None:
            text = Text(
                "Укажите, зарегистрировано ли ТС в «недружественном» государстве.",
                "State whether the vehicle is registered in a state on Russia's list of unfriendly states.",
            )
            raise Refused("/vehicle/unfriendly_state", text)
        rate = tariff.rate(tariff.foreign, on, "other_of_unfriendly_states") if case.unfriendly_state else None
        why = Text(
            "Зарегистрировано в «недружественном» государстве, не легковое и не мотоцикл",
            "Registered in an unfriendly state, neither car nor motorcycle",
        )
    if rate is None:
        text = Text(
            f"Коэффициента для таких зарубежных ТС на {on:%d.%m.%Y} нет в наших данных.",
            f"Our data hold no coefficient for such foreign vehicles on {on.isoformat()}.",
        )
        raise Refused("/vehicle/registration", text)
    return Applied("KT", rate.value, rate.value, why, rate.basis)


def claims_history(tariff: Tariff, case: Case, on: date) -> Applied:
    """KBM of the worst driver; without a list of drivers one value for all."""
    if not case.limited:
        why = Text("Без ограничения числа водителей — одно значение для всех", "Any driver: one value for all")
        return _special(tariff, on, "unlimited", "KBM", why)
    rated: list[tuple[Rate, int, Driver]] = []
    for index, driver in enumerate(case.drivers):
        rate = tariff.rate(tariff.kbm, on, driver.kbm_class)
        if rate is None:
            text = Text(f"Класса {driver.kbm_class} нет в таблице КБМ.", f"KBM has no class {driver.kbm_class}.")
            raise Refused(f"/drivers/list/{index}/kbm_class", text)
        rated.append((rate, index, driver))
    rate, index, driver = max(rated, key=lambda entry: entry[0].value)
    whose = _whose(case, index)
    unknown = (
        Text("", "") if driver.class_given else Text(" (не указан — как у нового)", " (not given: as for a new driver)")
    )
    why = Text(f"Класс {driver.kbm_class}{unknown.ru}{whose.ru}", f"Class {driver.kbm_class}{unknown.en}{whose.en}")
    return Applied("KBM", rate.value, rate.value, why, rate.basis)


def age_and_experience(tariff: Tariff, case: Case, on: date) -> Applied:
    """KVS: the greatest among the drivers, times the owner's multiplier for legal entities; left out without a list."""
    if not case.limited:
        why = Text("Не применяется: без ограничения числа водителей", "Not applied: any driver may drive")
        return _special(tariff, on, "unlimited", "KVS", why)
    rows = _kvs_rows(tariff, case, on)
    found: list[tuple[Decimal, int, AgeAndExperience]] = []
    for index, driver in enumerate(case.drivers):
        cell = _kvs_cell(rows, driver)
        if cell is None:
            text = Text(
                f"Возраст {driver.age} и стаж {driver.experience} вместе в таблице КВС не встречаются: проверьте даты.",
                f"KVS has no cell for age {driver.age} with {driver.experience} years of experience: check the dates.",
            )
            raise Refused(f"/drivers/list/{index}/licence_since", text)
        found.append((cell[0], index, cell[1]))
    value, index, row = max(found, key=lambda entry: entry[0])
    driver, whose = case.drivers[index], _whose(case, index)
    why = Text(
        f"Возраст {driver.age}, полных лет стажа {driver.experience}{whose.ru}",
        f"Age {driver.age}, {driver.experience} full years of experience{whose.en}",
    )
    owner = tariff.rate(tariff.kvs_owner, on, case.owner)
    if owner is not None:
        times = plain(owner.value)
        why = Text(
            f"{why.ru}: {plain(value)}; собственник — юридическое лицо, × {times}",
            f"{why.en}: {plain(value)}; the owner is a legal entity, × {times}",
        )
        value *= owner.value
    return Applied("KVS", value, value, why, row.basis)


def _kvs_rows(tariff: Tariff, case: Case, on: date) -> list[AgeAndExperience]:
    """Motorcycles have a table of their own since 17 April 2025; before that, and for all others, the general one."""
    rows = in_force(tariff.kvs, on)
    own = [row for row in rows if row.family == "motorcycles"] if case.category in {"A", "A1", "M", "B1"} else []
    return own or [row for row in rows if row.family == "general"]


def _kvs_cell(rows: list[AgeAndExperience], driver: Driver) -> tuple[Decimal, AgeAndExperience] | None:
    for row in rows:
        if row.age_from <= driver.age and (row.age_to is None or driver.age <= row.age_to):
            for least, greatest, value in row.values:
                if least <= driver.experience and (greatest is None or driver.experience <= greatest):
                    return value, row
    return None


def _whose(case: Case, index: int) -> Text:
    if len(case.drivers) == 1:
        return Text("", "")
    return Text(f" — водитель {index + 1}: наибольший из всех", f" — driver {index + 1}: the greatest of all")


def list_of_drivers(tariff: Tariff, case: Case, on: date) -> Applied:
    """KO: sole proprietors count as individuals here, as in row 2.2 of the base rates."""
    owner = "any" if case.limited else "legal_entity" if case.owner == "legal_entity" else "individual"
    rate = tariff.rate(tariff.ko, on, "limited" if case.limited else "unlimited", owner)
    if rate is None:
        text = Text("Коэффициента КО для такого случая нет в наших данных.", "Our data hold no KO for this case.")
        raise Refused("/drivers/limited", text)
    if case.limited:
        why = Text("Водители названы в полисе", "The policy names its drivers")
    elif owner == "individual":
        why = Text("Без ограничения числа водителей", "Any driver may drive")
    else:
        why = Text("Без ограничения, собственник — юридическое лицо", "Any driver, the owner is a legal entity")
    return Applied("KO", rate.value, rate.value, why, rate.basis)


def power(tariff: Tariff, case: Case, on: date) -> Applied:
    """KM: upper bounds are inclusive (50 hp is still 0.6). Applies to cars, to motorcycles since 17 April 2025."""
    rows = in_force(tariff.km, on)
    if case.category in {"A1", "B1"} and any("A" in row.categories for row in rows):
        text = Text(
            f"Применяется ли коэффициент мощности к категории {case.category}, наши данные не говорят.",
            f"Our data do not say whether the power coefficient applies to category {case.category}.",
        )
        raise Refused("/vehicle/category", text)
    fitting = [row for row in rows if case.category in row.categories]
    if not fitting or case.power is None:
        why = Text("Не применяется к этой категории", "Not applied to this category")
        return _special(tariff, on, "other_category", "KM", why)
    hp = case.power
    row = next(row for row in fitting if row.above < hp and (row.up_to is None or hp <= row.up_to))
    if row.up_to is None:
        bounds = Text(f"больше {plain(row.above)}", f"above {plain(row.above)}")
    else:
        bounds = Text(f"до {plain(row.up_to)} включительно", f"up to {plain(row.up_to)}")
    why = Text(f"Мощность {plain(hp)} л. с. ({bounds.ru})", f"{plain(hp)} hp ({bounds.en})")
    return Applied("KM", row.value, row.value, why, row.basis)


def period(tariff: Tariff, case: Case, on: date) -> Applied:
    """KS by months of use; KP for foreign and transit vehicles; the insurer's own one below three months."""
    if case.registration == "russia" and (case.days is not None or (case.months or 0) < 3):
        return _short_policy(tariff, case, on)
    kind = "" if case.registration == "russia" else case.registration
    unit, count = ("months", case.months) if case.months is not None else ("days", case.days)
    length = count or 0
    for row in in_force(tariff.periods, on):
        if row.registration == kind and row.unit == unit and row.least <= length <= row.greatest:
            ru = f"Срок использования: {length} мес." if unit == "months" else f"Срок: {length} дн."
            en = f"Period of use: {length} {unit}"
            return Applied("KP" if kind else "KS", row.value, row.value, Text(ru, en), row.basis)
    text = Text(
        "Для такого срока коэффициента нет в наших данных.", "Our data hold no coefficient for a period of this length."
    )
    raise Refused(f"/use/{unit}", text)


def _short_policy(tariff: Tariff, case: Case, on: date) -> Applied:
    row = next(iter(in_force(tariff.short_policies, on)), None)
    if row is None:
        text = Text(
            "Полисы короче трёх месяцев заключаются с 02.03.2024.",
            "Policies shorter than three months exist since 2024-03-02.",
        )
        raise Refused("/use/days" if case.months is None else "/use/months", text)
    why = Text(
        "Полис короче трёх месяцев: понижающий коэффициент устанавливает сам страховщик; наименьшего значения закон "
        "не называет, поэтому нижняя граница — ноль",
        "A policy shorter than three months: each insurer sets its own reducing coefficient; the law names no least "
        "value, so the lower end is zero",
    )
    return Applied("KS", row.least, row.greatest, why, row.basis)


def _special(tariff: Tariff, on: date, case: str, factor: str, why: Text) -> Applied:
    rate = tariff.rate(tariff.special_cases, on, case, factor)
    if rate is None:
        text = Text(f"Правила для {factor} на эту дату у нас нет.", f"We hold no rule for {factor} on this day.")
        raise Refused("/concluded_on", text)
    return Applied(factor, rate.value, rate.value, why, rate.basis)


def plain(number: Decimal) -> str:
    """A coefficient as people write it: no trailing zeros, no exponent."""
    return f"{number.normalize():f}"


_FACTORS: tuple[Callable[[Tariff, Case, date], Applied], ...] = (
    base_rate,
    territory,
    claims_history,
    age_and_experience,
    list_of_drivers,
    power,
    period,
)
