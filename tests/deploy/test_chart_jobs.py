"""Jobs of the chart: what is done once, before or after a version comes, or when an operator wants it."""

from tests.deploy.conftest import Render, Rendered


def test_schemas_are_there_before_the_version_that_needs_them(chart: Rendered, render: Render) -> None:
    """The first processes of a new version would meet tables that do not exist."""
    hooks = {one["metadata"]["name"]: one["metadata"]["annotations"]["helm.sh/hook"] for one in chart.of("Job")}
    later = {
        one["metadata"]["name"]: one["metadata"]["annotations"]["helm.sh/hook"]
        for one in render({}, "--is-upgrade").of("Job")
    }

    for job in ("insuretech-migrate", "insuretech-topics"):
        assert hooks[job] == "post-install"  # the way to the database and Kafka come with the chart
        assert later[job] == "pre-upgrade"


def test_jobs_end(chart: Rendered) -> None:
    """An upgrade would hang on one that cannot succeed."""
    for job in chart.of("Job"):
        assert job["spec"]["activeDeadlineSeconds"] <= 900
        assert job["spec"]["backoffLimit"] <= 20


def test_what_an_operator_does_waits_for_the_operator(chart: Rendered) -> None:
    """A command with all rights that runs by itself, or once more after it failed, does what nobody asked for."""
    (waiting,) = chart.of("CronJob")

    assert waiting["spec"]["suspend"] is True
    assert waiting["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
