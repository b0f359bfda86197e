"""Setting how everyone in the sandbox behaves, and starting over."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import msgspec

from insuretech.kit.problems import FieldError, Invalid, NotFound
from insuretech.sandbox.behaviours import Behaviours
from insuretech.sandbox.calls import CallLog
from insuretech.sandbox.domain import Behaviour, InsurerDocument, ProviderBehaviour


@dataclass(frozen=True)
class Controls:
    """The sandbox's switches; what is set holds for the next call, and over restarts."""

    behaviours: Behaviours
    calls: CallLog
    clear_books: Callable[[], Awaitable[None]]

    def all(self) -> list[InsurerDocument]:
        return [self.insurer(code) for code in self.behaviours.roster]

    def insurer(self, code: str) -> InsurerDocument:
        """Raises ``NotFound``."""
        character = self.behaviours.roster.get(code)
        if character is None:
            raise NotFound
        return InsurerDocument(
            **msgspec.structs.asdict(self.behaviours[code]),
            code=code,
            name=character.name,
            character=character.character,
        )

    def provider(self) -> ProviderBehaviour:
        return self.behaviours.provider

    async def set_insurer(self, code: str, asked: Behaviour, given: Collection[str]) -> InsurerDocument:
        """Set the ``given`` fields to what is ``asked``; the others stay as they are."""
        self.insurer(code)
        await self.behaviours.load()
        if asked.premium is not None and (asked.premium.amount <= 0 or asked.premium.currency != "RUB"):
            fault = FieldError(pointer="/premium", code="value", detail="A premium is more than zero roubles.")
            raise Invalid(errors=[fault])
        known = set(Behaviour.__struct_fields__)
        changes = {name: getattr(asked, name) for name in given if name in known}
        await self.behaviours.set(code, msgspec.structs.replace(self.behaviours[code], **changes))
        return self.insurer(code)

    async def set_provider(self, asked: ProviderBehaviour, given: Collection[str]) -> ProviderBehaviour:
        """Set the ``given`` fields to what is ``asked``; the others stay as they are."""
        await self.behaviours.load()
        changes = {name: getattr(asked, name) for name in given}
        await self.behaviours.set_provider(msgspec.structs.replace(self.behaviours.provider, **changes))
        return self.behaviours.provider

    async def reset(self, *, books: bool) -> None:
        """Everyone by character again and the calls forgotten; the books too, if so asked."""
        await self.behaviours.reset()
        self.calls.clear()
        if books:
            await self.clear_books()
