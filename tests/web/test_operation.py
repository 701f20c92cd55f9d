"""What is said of an endpoint is found by its handler, bound or not."""

from web.operation import described, operation_of


class Api:
    @described("look", scope="read", answer=int)
    async def look(self) -> None: ...

    async def other(self) -> None: ...


def test_a_description_is_found_by_the_bound_handler() -> None:
    operation = operation_of(Api().look)
    assert operation is not None
    assert (operation.meaning, operation.scope, operation.answer, operation.status) == ("look", "read", int, 200)
    assert operation == operation_of(Api.look)


def test_what_was_not_described_has_no_description() -> None:
    assert operation_of(Api().other) is None
