"""Exercises a simulator through python-gitlab, a client its authors did not write.

Usage: exercise.py URL TOKEN, against an instance with the repositories shop/backend/api (25 tags t00 to t24) and
shop/frontend/web, a clock that stands still, and a maintainer's token of the group shop.
"""

import json
import sys
import urllib.request

import gitlab


def advance(url: str, seconds: int) -> None:
    """Moves the simulator's clock, which runs the jobs that are due."""
    body = json.dumps({"seconds": seconds}).encode()
    request = urllib.request.Request(f"{url}/-/simulator/clock/advance", data=body, method="POST")
    with urllib.request.urlopen(request) as response:
        assert response.status == 200


def reading(client: gitlab.Gitlab) -> None:
    group = client.groups.get("shop", lazy=True)
    paths = [repository.path for repository in group.registry_repositories.list(get_all=True)]
    assert paths == ["shop/backend/api", "shop/frontend/web"], paths

    project = client.projects.get("shop/backend", lazy=True)
    [repository] = project.repositories.list(get_all=True, tags_count=True)
    assert (repository.path, repository.tags_count) == ("shop/backend/api", 25)
    by_id = client.registry_repositories.get(repository.id)
    assert (by_id.id, by_id.name, by_id.project_id) == (repository.id, "api", repository.project_id)

    expected = [f"t{number:02}" for number in range(25)]
    pages = repository.tags.list(iterator=True, per_page=10)
    assert (pages.total, pages.total_pages) == (25, 3)
    assert [tag.name for tag in pages] == expected
    assert [tag.name for tag in repository.tags.list(get_all=True, per_page=10)] == expected

    tag = repository.tags.get("t00")
    assert tag.path == "shop/backend/api:t00" and tag.digest.startswith("sha256:"), tag
    assert tag.created_at.endswith("+00:00") and len(tag.short_revision) == 9, tag


def removing(client: gitlab.Gitlab, url: str) -> None:
    project = client.projects.get("shop/backend", lazy=True)
    [repository] = project.repositories.list(get_all=True)

    repository.tags.delete("t00")
    try:
        repository.tags.get("t00")
    except gitlab.GitlabGetError as error:
        assert (error.response_code, error.error_message) == (404, "404 Tag Not Found"), error
    else:
        raise AssertionError("a deleted tag is still there")

    repository.tags.delete_in_bulk(name_regex_delete="(?:t0.+)", keep_n=2)
    try:
        repository.tags.delete_in_bulk(name_regex_delete="(?:t1.+)")
    except gitlab.GitlabDeleteError as error:
        assert error.response_code == 400 and "at most once an hour" in str(error), error
    else:
        raise AssertionError("the lease was given twice")
    advance(url, 60)
    left = [tag.name for tag in repository.tags.list(get_all=True)]
    assert left == ["t08", "t09", *(f"t{number}" for number in range(10, 25))], left

    repository.delete()
    advance(url, 60)
    assert project.repositories.list(get_all=True) == []


def main() -> None:
    url, token = sys.argv[1:]
    client = gitlab.Gitlab(url, private_token=token, retry_transient_errors=False)
    assert client.version()[0] == "18.5.0-ee"
    assert client.personal_access_tokens.get("self").scopes == ["api"]
    reading(client)
    removing(client, url)


if __name__ == "__main__":
    main()
