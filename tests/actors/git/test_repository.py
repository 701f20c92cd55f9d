"""What a change comes to and how a branch moves, on real repositories."""

import os
import resource
from pathlib import Path

import pytest

from actors.git.repository import FILE_BYTES_MAX, Repository, Told
from actors.rules.docket import blob_id
from bus.messages.approvals import Change, Target
from bus.messages.base import BlobId
from bus.refusals import ChangeRefused
from tests.support.repositories import Sandbox

TOLD = Told("Change a.txt\n\nProposal: p-1\n", 1_750_000_000_000_000)
FEATURE = Target("r", "main", "feature")


def repository(sandbox: Sandbox, *, diff_bytes_max: int = 1_000_000) -> Repository:
    return Repository(sandbox.path, timeout_s=30.0, diff_bytes_max=diff_bytes_max)


async def worked_out(sandbox: Sandbox) -> Change:
    change, _ = await repository(sandbox).work_out(FEATURE, b"", TOLD)
    return change


async def patched(sandbox: Sandbox, patch: str, *paths: str) -> tuple[Change, bytes]:
    target = Target("r", "main", patch=BlobId("x"), paths=paths)
    return await repository(sandbox).work_out(target, patch.encode(), TOLD)


async def test_a_change_is_worked_out_without_touching_branch_index_or_files(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    before = sandbox.tip()
    change, diff = await repository(sandbox).work_out(FEATURE, b"", TOLD)
    assert (change.base, change.head) == (before, sandbox.tip("feature"))
    assert b"+new" in diff
    assert change.diff == blob_id(diff)
    assert change.files == 2
    assert (sandbox.tip(), sandbox.status()) == (before, "")


async def test_applying_moves_the_branch_to_the_approved_tree_and_advances_a_clean_working_tree(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    commit = await repository(sandbox).apply("main", change, TOLD)
    assert sandbox.tip() == commit
    assert sandbox.git("rev-parse", f"{commit}^{{tree}}") == change.tree
    assert (sandbox.path / "new.txt").read_text() == "new\n"
    assert sandbox.status() == ""
    assert sandbox.is_whole()


async def test_applying_twice_is_applying_once(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    first = await repository(sandbox).apply("main", change, TOLD)
    assert await repository(sandbox).apply("main", change, TOLD) == first
    assert sandbox.git("rev-list", "--count", "main") == "3"


async def test_what_was_applied_before_others_went_on_counts_as_applied(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    commit = await repository(sandbox).apply("main", change, TOLD)
    sandbox.write("c.txt", "later\n")
    later = sandbox.commit("later")
    assert await repository(sandbox).apply("main", change, TOLD) == commit
    assert sandbox.tip() == later


async def test_a_push_to_the_base_in_between_refuses_the_whole(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    sandbox.write("c.txt", "slipped in\n")
    pushed = sandbox.commit("push to main")
    with pytest.raises(ChangeRefused, match="main has moved"):
        await repository(sandbox).apply("main", change, TOLD)
    assert (sandbox.tip(), sandbox.status()) == (pushed, "")


async def test_a_push_to_the_head_in_between_changes_nothing_of_what_is_applied(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    sandbox.git("checkout", "-q", "feature")
    sandbox.write("evil.txt", "unreviewed\n")
    sandbox.commit("push to feature")
    sandbox.git("checkout", "-q", "main")
    commit = await repository(sandbox).apply("main", change, TOLD)
    assert sandbox.git("rev-parse", f"{commit}^{{tree}}") == change.tree
    assert not (sandbox.path / "evil.txt").exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [("docs/b.txt", r"with changes: docs/b\.txt"), ("new.txt", r"new\.txt")],
    ids=["changed", "untracked"],
)
async def test_what_somebody_has_in_the_working_tree_of_the_branch_is_in_the_way_and_kept(
    tmp_path: Path, path: str, reason: str
) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    before = sandbox.tip()
    sandbox.write(path, "mine\n")
    with pytest.raises(ChangeRefused, match=reason):
        await repository(sandbox).apply("main", change, TOLD)
    assert sandbox.tip() == before
    assert (sandbox.path / path).read_text() == "mine\n"


async def test_every_working_tree_at_the_branch_is_looked_at(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    sandbox.git("checkout", "-q", "--detach")
    sandbox.git("worktree", "add", "-q", str(tmp_path / "other"), "main")
    (tmp_path / "other" / "a.txt").write_text("mine\n")
    with pytest.raises(ChangeRefused, match="checked out in other with changes"):
        await repository(sandbox).apply("main", change, TOLD)
    (tmp_path / "other" / "a.txt").write_text("one\ntwo\nthree\n")
    await repository(sandbox).apply("main", change, TOLD)
    assert (tmp_path / "other" / "a.txt").read_text() == "one\n2\nthree\n"


async def test_a_bare_repository_is_changed_as_well(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r.git", is_bare=True)
    change = await worked_out(sandbox)
    assert await repository(sandbox).apply("main", change, TOLD) == sandbox.tip()
    assert sandbox.is_whole()


async def test_a_crash_after_the_swap_is_gone_on_with(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    commit = await repository(sandbox).commit(change, TOLD)
    sandbox.git("update-ref", "refs/heads/main", commit, change.base)
    assert sandbox.status() != ""
    assert await repository(sandbox).apply("main", change, TOLD) == commit
    assert (sandbox.tip(), sandbox.status()) == (commit, "")


async def test_a_crash_in_the_middle_of_the_checkout_is_gone_on_with(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    commit = await repository(sandbox).commit(change, TOLD)
    sandbox.git("update-ref", "refs/heads/main", commit, change.base)
    sandbox.write("new.txt", "new\n")
    sandbox.write("a.txt", "one\n2\nthree\n")
    await repository(sandbox).apply("main", change, TOLD)
    assert (sandbox.tip(), sandbox.status()) == (commit, "")


async def test_a_person_who_was_quicker_after_a_crash_keeps_the_file_and_the_branch_goes_back(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    commit = await repository(sandbox).commit(change, TOLD)
    sandbox.git("update-ref", "refs/heads/main", commit, change.base)
    sandbox.write("a.txt", "mine\n")
    with pytest.raises(ChangeRefused):
        await repository(sandbox).apply("main", change, TOLD)
    assert sandbox.tip() == change.base
    assert (sandbox.path / "a.txt").read_text() == "mine\n"


async def test_a_rollback_restores_the_exact_tree_while_the_branch_is_ours(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    commit = await repository(sandbox).apply("main", change, TOLD)
    assert await repository(sandbox).roll_back("main", change, commit, TOLD) == ""
    assert (sandbox.tip(), sandbox.status()) == (change.base, "")
    assert not (sandbox.path / "new.txt").exists()
    assert await repository(sandbox).roll_back("main", change, commit, TOLD) == ""


async def test_a_rollback_of_what_others_built_on_makes_a_head_that_undoes_only_it(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    commit = await repository(sandbox).apply("main", change, TOLD)
    sandbox.write("c.txt", "later\n")
    later = sandbox.commit("later")
    head = await repository(sandbox).roll_back("main", change, commit, TOLD)
    assert sandbox.tip() == later
    reverting, diff = await repository(sandbox).work_out(Target("r", "main", head), b"", TOLD)
    assert b"-new" in diff
    assert b"c.txt" not in diff
    assert reverting.base == later


async def test_conflicts_are_named(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.write("a.txt", "one\nzwei\nthree\n")
    sandbox.commit("other")
    with pytest.raises(ChangeRefused, match=r"conflicts with main in a\.txt"):
        await worked_out(sandbox)


@pytest.mark.parametrize("name", ["nowhere", "--exec=touch x", "", "HEAD~99"])
async def test_a_head_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    sandbox = Sandbox(tmp_path / "r")
    with pytest.raises(ChangeRefused, match="there is no commit"):
        await repository(sandbox).work_out(Target("r", "main", name), b"", TOLD)


async def test_an_oversized_diff_is_refused_and_not_read_whole(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.git("checkout", "-q", "feature")
    sandbox.write("large.txt", "0123456789abcdef\n" * 200_000)
    sandbox.commit("large")
    with pytest.raises(ChangeRefused, match="more than 100000 bytes"):
        await repository(sandbox, diff_bytes_max=100_000).work_out(FEATURE, b"", TOLD)


async def test_a_patch_becomes_a_change(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change, diff = await patched(sandbox, sandbox.git("diff", "main", "feature") + "\n", "a.txt", "new.txt")
    assert b"+new" in diff
    assert change.base == sandbox.tip()
    assert sandbox.status() == ""


async def test_a_patch_outside_the_declared_paths_is_refused(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    with pytest.raises(ChangeRefused, match=r"new\.txt is outside the declared paths"):
        await patched(sandbox, sandbox.git("diff", "main", "feature") + "\n", "a.txt", "docs/")


@pytest.mark.parametrize("path", ["../outside.txt", ".git/hooks/post-commit", "/etc/agora"])
async def test_a_patch_that_leads_out_of_the_tree_is_refused(tmp_path: Path, path: str) -> None:
    sandbox = Sandbox(tmp_path / "r")
    patch = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(ChangeRefused):
        await patched(sandbox, patch)
    assert not (tmp_path / "outside.txt").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "docs/../../x", ".git/config"])
async def test_a_symlink_out_of_the_tree_is_refused(tmp_path: Path, target: str) -> None:
    sandbox = Sandbox(tmp_path / "r")
    patch = (
        "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n"
        f"@@ -0,0 +1 @@\n+{target}\n\\ No newline at end of file\n"
    )
    with pytest.raises(ChangeRefused, match="the symlink link leads out of the tree"):
        await patched(sandbox, patch)


async def test_hooks_of_the_repository_do_not_run(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    for name in ("reference-transaction", "post-checkout", "pre-commit", "post-index-change"):
        hook = sandbox.path / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\n")
        hook.chmod(0o755)
    await repository(sandbox).apply("main", await worked_out(sandbox), TOLD)
    assert [name for name in os.listdir(tmp_path) if name.startswith("ran-")] == []


@pytest.mark.parametrize(
    ("link", "where"), [("/tmp", "outside"), ("docs", "inside")], ids=["a link out of the tree", "a link within it"]
)
async def test_a_patch_never_writes_through_a_symlink_that_is_there(tmp_path: Path, link: str, where: str) -> None:
    sandbox = Sandbox(tmp_path / "r")
    (sandbox.path / "link").symlink_to(link)
    sandbox.commit(f"a link {where}")
    patch = "diff --git a/link/x b/link/x\nnew file mode 100644\n--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(ChangeRefused):
        await patched(sandbox, patch)
    assert not (sandbox.path / "docs" / "x").exists()


async def test_a_patch_that_makes_a_symlink_within_the_tree_or_a_program_is_refused(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    head = "diff --git a/l b/l\nnew file mode {}\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+a.txt\n"
    with pytest.raises(ChangeRefused, match="l is a symlink; a patch changes plain files"):
        await patched(sandbox, head.format("120000") + "\\ No newline at end of file\n")
    with pytest.raises(ChangeRefused, match="the mode of l would be 100755"):
        await patched(sandbox, head.format("100755"))
    with pytest.raises(ChangeRefused, match=r"the mode of a\.txt would be 100755"):
        await patched(sandbox, "diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 100755\n")


async def test_a_patch_that_adds_a_submodule_is_refused(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    commit = sandbox.tip()
    patch = (
        "diff --git a/sub b/sub\nnew file mode 160000\n--- /dev/null\n+++ b/sub\n"
        f"@@ -0,0 +1 @@\n+Subproject commit {commit}\n"
    )
    with pytest.raises(ChangeRefused, match="sub is a submodule"):
        await patched(sandbox, patch)


@pytest.mark.slow
async def test_a_diff_of_fifty_megabytes_is_refused_without_being_held(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    sandbox.git("checkout", "-q", "feature")
    sandbox.write("huge.txt", "line of text that makes a diff long\n" * 1_500_000)
    sandbox.commit("huge")
    sandbox.git("checkout", "-q", "main")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ChangeRefused, match="it said more than 1000000 bytes"):
        await worked_out(sandbox)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


async def test_what_was_worked_out_is_kept_by_its_name_until_it_is_forgotten(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change, _ = await repository(sandbox).work_out(FEATURE, b"", TOLD, name="p-1")
    commit = await repository(sandbox).commit(change, TOLD)
    assert await repository(sandbox).kept() == [("p-1", commit)]
    sandbox.git("branch", "-D", "feature")
    sandbox.git("reflog", "expire", "--expire=now", "--all")
    sandbox.git("gc", "-q", "--prune=now")
    assert await repository(sandbox).apply("main", change, TOLD) == commit
    await repository(sandbox).forget("p-1", commit)
    await repository(sandbox).forget("p-1", commit)
    assert await repository(sandbox).kept() == []


async def test_what_was_worked_out_once_is_merged_again_into_a_branch_that_moved(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    patch = sandbox.git("diff", "main", "feature") + "\n"
    first, _ = await patched(sandbox, patch)
    sandbox.write("a.txt", "zero\none\ntwo\nthree\n")
    sandbox.write("c.txt", "later\n")
    sandbox.commit("others go on")
    target = Target("r", "main", patch=BlobId("x"))
    again, _ = await repository(sandbox).work_out(target, b"", TOLD, head=first.head)
    assert (again.head, again.base) == (first.head, sandbox.tip())
    assert sandbox.git("show", f"{again.tree}:c.txt") == "later"


async def test_whether_a_branch_has_a_change_is_seen_without_touching_it(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    change = await worked_out(sandbox)
    commit = await repository(sandbox).commit(change, TOLD)
    assert not await repository(sandbox).stands("main", commit)
    await repository(sandbox).apply("main", change, TOLD)
    assert await repository(sandbox).stands("main", commit)
    sandbox.write("c.txt", "later\n")
    sandbox.commit("later")
    assert await repository(sandbox).stands("main", commit)


async def test_plain_files_are_read_and_nothing_else(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "r")
    (sandbox.path / "link").symlink_to("/etc/passwd")
    (sandbox.path / "bytes").write_bytes(b"\xff\xfe")
    (sandbox.path / "long").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    sandbox.commit("more")
    sandbox.write("a.txt", "not committed\n")
    found = repository(sandbox)
    assert await found.read("main", "a.txt") == "one\ntwo\nthree\n"
    assert await found.read("main", "nothing.txt") is None
    for path, words in (
        ("link", "no plain file"),
        ("docs", "no plain file"),
        ("bytes", "not in UTF-8"),
        ("long", "longer than"),
        ("../r/a.txt", "leads out"),
        ("/etc/passwd", "leads out"),
    ):
        with pytest.raises(ChangeRefused, match=words):
            await found.read("main", path)
