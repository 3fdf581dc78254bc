"""A GitHub push as GitHub sends it: every member, one line, signed; eight or a hundred kilobytes."""
import hashlib
import hmac
import json

API, HTML = "https://api.github.com", "https://github.com"
OWNER_LINKS = {
    "followers": "/followers", "following": "/following{/other_user}", "gists": "/gists{/gist_id}",
    "starred": "/starred{/owner}{/repo}", "subscriptions": "/subscriptions", "organizations": "/orgs", "repos": "/repos",
    "events": "/events{/privacy}", "received_events": "/received_events"}
REPOSITORY_LINKS = {
    "forks": "/forks", "keys": "/keys{/key_id}", "collaborators": "/collaborators{/collaborator}", "teams": "/teams",
    "hooks": "/hooks", "issue_events": "/issues/events{/number}", "events": "/events", "assignees": "/assignees{/user}",
    "branches": "/branches{/branch}", "tags": "/tags", "blobs": "/git/blobs{/sha}", "git_tags": "/git/tags{/sha}",
    "git_refs": "/git/refs{/sha}", "trees": "/git/trees{/sha}", "statuses": "/statuses/{sha}", "languages": "/languages",
    "stargazers": "/stargazers", "contributors": "/contributors", "subscribers": "/subscribers",
    "subscription": "/subscription", "commits": "/commits{/sha}", "git_commits": "/git/commits{/sha}",
    "comments": "/comments{/number}", "issue_comment": "/issues/comments{/number}", "contents": "/contents/{+path}",
    "compare": "/compare/{base}...{head}", "merges": "/merges", "archive": "/{archive_format}{/ref}",
    "downloads": "/downloads", "issues": "/issues{/number}", "pulls": "/pulls{/number}",
    "milestones": "/milestones{/number}", "notifications": "/notifications{?since,all,participating}",
    "labels": "/labels{/name}", "releases": "/releases{/id}", "deployments": "/deployments"}


def account(login, number):
    base = f"{API}/users/{login}"
    return {"login": login, "id": number, "node_id": f"MDQ6VXNlcj{number}",
            "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4", "gravatar_id": "", "url": base,
            "html_url": f"{HTML}/{login}", **{f"{name}_url": base + path for name, path in OWNER_LINKS.items()},
            "type": "User", "user_view_type": "public", "site_admin": False}


def repository(full_name):
    owner, name = full_name.split("/")
    base = f"{API}/repos/{full_name}"
    return {"id": 713906741, "node_id": "R_kgDOKo1etQ", "name": name, "full_name": full_name, "private": False,
            "owner": {"name": owner, "email": f"{owner}@example.com", **account(owner, 13351472)},
            "html_url": f"{HTML}/{full_name}", "description": "The page that greets", "fork": False,
            "url": f"{HTML}/{full_name}", **{f"{link}_url": base + path for link, path in REPOSITORY_LINKS.items()},
            "created_at": 1699012345, "updated_at": "2026-01-15T10:11:12Z", "pushed_at": 1768471872,
            "git_url": f"git://github.com/{full_name}.git", "ssh_url": f"git@github.com:{full_name}.git",
            "clone_url": f"{HTML}/{full_name}.git", "svn_url": f"{HTML}/{full_name}", "homepage": None, "size": 2381,
            "stargazers_count": 12, "watchers_count": 12, "language": "HTML", "has_issues": True, "has_projects": True,
            "has_downloads": True, "has_wiki": True, "has_pages": False, "has_discussions": False, "forks_count": 3,
            "mirror_url": None, "archived": False, "disabled": False, "open_issues_count": 1, "license": None,
            "allow_forking": True, "is_template": False, "web_commit_signoff_required": False, "topics": [],
            "visibility": "public", "forks": 3, "open_issues": 1, "watchers": 12, "default_branch": "main",
            "stargazers": 12, "master_branch": "main"}


def commit(full_name, number):
    person = {"name": "Ann Example", "email": "ann@example.com", "username": "ann"}
    identity = hashlib.sha1(str(number).encode()).hexdigest()
    return {"id": identity, "tree_id": hashlib.sha1(identity.encode()).hexdigest(), "distinct": True,
            "message": f"Greet \"everybody\" on page {number}\n\nThe greeting was too short: naïve, said a reader.",
            "timestamp": "2026-01-15T11:11:10+01:00", "url": f"{HTML}/{full_name}/commit/{identity}", "author": person,
            "committer": person, "added": [f"src/pages/{number}/index.html"], "removed": [],
            "modified": ["src/style.css", f"src/pages/{number}/greeting.html"]}


def github_push(full_name, size):
    """JSON of a push to main, as many commits as fit into `size` bytes (one at least)."""
    commits = [commit(full_name, 0)]

    def text():
        push = {"ref": "refs/heads/main", "before": hashlib.sha1(b"before").hexdigest(), "after": commits[-1]["id"],
                "repository": repository(full_name), "pusher": {"name": "ann", "email": "ann@example.com"},
                "sender": account("ann", 583231), "created": False, "deleted": False, "forced": False, "base_ref": None,
                "compare": f"{HTML}/{full_name}/compare/{'0' * 12}...{'1' * 12}", "commits": commits,
                "head_commit": commits[-1]}
        return json.dumps(push, separators=(",", ":"), ensure_ascii=False).encode()
    one = len(json.dumps(commits[0], separators=(",", ":"), ensure_ascii=False).encode()) + 1
    for number in range(1, 1 + max(0, size - len(text())) // one):
        commits.append(commit(full_name, number))
    return text()


def github_ping(full_name):
    """JSON of what GitHub sends first, as soon as a hook is made."""
    hook = {"type": "Repository", "id": 292430182, "name": "web", "active": True, "events": ["push"],
            "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": "https://hooks.example.com/hooks/github"},
            "updated_at": "2026-01-15T10:11:12Z", "created_at": "2026-01-15T10:11:12Z",
            "url": f"{API}/repos/{full_name}/hooks/292430182", "test_url": f"{API}/repos/{full_name}/hooks/292430182/test",
            "ping_url": f"{API}/repos/{full_name}/hooks/292430182/pings", "last_response": {"code": None, "status": "unused", "message": None}}
    ping = {"zen": "Keep it logically awesome.", "hook_id": 292430182, "hook": hook, "repository": repository(full_name),
            "sender": account("ann", 583231)}
    return json.dumps(ping, separators=(",", ":")).encode()


def http_request(path, body, secret, event="push"):
    """The bytes of the request; the delivery's last twelve digits are replaced by load.c."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    head = (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nX-GitHub-Event: {event}\r\nX-GitHub-Hook-ID: 292430182\r\n"
            f"X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-000000000000\r\nX-Hub-Signature-256: sha256={signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return head.encode() + body
