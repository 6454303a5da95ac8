"""This local Hub implements the parts of huggingface.co that are needed to push and load models.

Repositories are kept in memory as immutable commits. Clients upload large files with git-lfs, and
download them from 127.0.0.2, which stands for the Hub's CDN. Clients must set HF_HUB_DISABLE_XET=1,
because this Hub does not support Xet transfers.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.loopback_repo import LARGE, Repo, entry, file_oid, sha256

TOKEN = "hf_loopbackloopbackloopback"


class RefusalError(Exception):
    """An exception that makes this Hub send an error response, with headers that clients read."""

    def __init__(self, status: int, code: str | None, message: str, sha: str | None = None) -> None:
        headers = {"X-Error-Message": message, "X-Error-Code": code, "X-Repo-Commit": sha}
        given = {name: value for name, value in headers.items() if value is not None}
        self.response = JSONResponse({"error": message}, status, given)


class LoopbackHub:
    """The state of a local Hub. `app` is the web application that answers requests to the Hub.

    `faults[name]` is how many more times the fault `name` will occur.
    """

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.cdn = f"http://127.0.0.2:{port}"
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}  # by SHA-256
        self.faults: Counter[str] = Counter()
        self.requests: list[str] = []  # "METHOD path" of each request, oldest first
        self.tokens_at_cdn: list[str] = []
        self.headers: dict[str, str] = {}  # override the headers of file responses
        self.malformed: str | None = None  # sent instead of a repository's description
        api = "/api/models/{owner}/{name}"
        self.app = Starlette(
            exception_handlers={RefusalError: lambda request, refusal: refusal.response},
            routes=[
                Route("/", lambda request: Response("a Hub"), methods=["GET"]),
                Route("/api/repos/create", self.create, methods=["POST"]),
                Route("/api/validate-yaml", self.validate_yaml, methods=["POST"]),
                Route(api, self.info),
                Route(api + "/revision/{revision:path}", self.info),
                Route(api + "/commits/{revision:path}", self.list_commits),
                Route(api + "/tree/{revision:path}", self.tree),
                Route(api + "/preupload/{revision:path}", self.preupload, methods=["POST"]),
                Route(api + "/commit/{revision:path}", self.commit, methods=["POST"]),
                Route(
                    "/{owner}/{name}.git/info/lfs/objects/batch", self.lfs_batch, methods=["POST"]
                ),
                Route("/lfs/{oid}", self.lfs_put, methods=["PUT"]),
                Route("/lfs/{oid}/verify", self.lfs_verify, methods=["POST"]),
                Route("/cdn/{oid}", self.cdn_get),
                Route("/{owner}/{name}/resolve/{revision}/{path:path}", self.file),
            ],
        )

    def break_once(self, fault: str) -> bool:
        """Return whether `fault` is to occur now. If so, reduce `faults[fault]` by one."""
        occurs = self.faults[fault] > 0
        self.faults[fault] -= occurs
        return occurs

    def find(self, request: Request) -> Repo:
        """Record a request, and return its repository. Raise RefusalError to refuse access."""
        self.requests.append(f"{request.method} {request.url.path}")
        owner, name = request.path_params["owner"], request.path_params["name"]
        given = request.headers.get("authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            raise RefusalError(401, None, "Invalid username or password.")
        if self.break_once("busy"):
            raise RefusalError(503, None, "busy")
        repo = self.repos.get(f"{owner}/{name}")
        if repo is None or (repo.private and given is None):
            raise RefusalError(404 if given else 401, "RepoNotFound", "Repository not found")
        if request.method == "POST" and given is None:
            raise RefusalError(401, None, "Invalid username or password.")
        return repo

    async def create(self, request: Request) -> Response:
        self.requests.append("POST /api/repos/create")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise RefusalError(401, None, "Invalid username or password.")
        asked = await request.json()
        if asked["organization"] == "forbidden":
            raise RefusalError(403, None, "You don't have the rights to create a model there")
        repo_id = f"{asked['organization']}/{asked['name']}"
        known = repo_id in self.repos
        if not known:
            private = asked.get("private") or asked.get("visibility") == "private"
            self.repos[repo_id] = Repo(private=bool(private))
            self.repos[repo_id].commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})
        return JSONResponse({"url": f"{self.endpoint}/{repo_id}"}, 409 if known else 200)

    async def validate_yaml(self, request: Request) -> Response:
        content = (await request.json())["content"]
        metadata = yaml.safe_load(content.split("---")[1]) if content.startswith("---") else {}
        errors = [] if isinstance(metadata.get("tags", []), list) else ["tags must be a list"]
        return JSONResponse(
            {"errors": [{"message": text} for text in errors], "warnings": []},
            400 if errors else 200,
        )

    async def info(self, request: Request) -> Response:
        repo = self.find(request)
        if self.malformed is not None:
            return Response(self.malformed, media_type="application/json")
        for fault, seconds in (("endless_json", 0), ("drip_json", 0.02)):
            if self.break_once(fault):
                return StreamingResponse(forever(seconds), media_type="application/json")
        sha = repo.resolve(request.path_params.get("revision", "main"))
        if sha is None:
            raise RefusalError(404, "RevisionNotFound", "Invalid rev id")
        owner, name = request.path_params["owner"], request.path_params["name"]
        return JSONResponse({"id": f"{owner}/{name}", **repo.describe(sha)})

    async def list_commits(self, request: Request) -> Response:
        return JSONResponse(self.find(request).list_commits())

    async def tree(self, request: Request) -> Response:
        repo = self.find(request)
        files = repo.commits[repo.resolve(request.path_params["revision"])]
        return JSONResponse([entry(path, content) for path, content in sorted(files.items())])

    async def preupload(self, request: Request) -> Response:
        repo = self.find(request)
        files = repo.commits[repo.resolve(request.path_params["revision"])]
        answers = []
        for asked in (await request.json())["files"]:
            path = asked["path"]
            mode = "lfs" if path.endswith(LARGE) else "regular"
            oid = file_oid(path, files[path]) if path in files else None
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": answers})

    async def lfs_batch(self, request: Request) -> Response:
        self.find(request)
        answers = []
        for asked in (await request.json())["objects"]:
            href = f"{self.endpoint}/lfs/{asked['oid']}"
            actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            known = asked["oid"] in self.blobs
            answers.append(asked if known else {**asked, "actions": actions})
        return JSONResponse({"transfer": "basic", "objects": answers})

    async def lfs_put(self, request: Request) -> Response:
        content = await request.body()
        self.requests.append("PUT /lfs")
        if self.break_once("put_500"):
            return Response("broken", 500)
        if sha256(content) != request.path_params["oid"]:
            return Response("not that content", 422)
        self.blobs[sha256(content)] = content
        return Response()

    async def lfs_verify(self, request: Request) -> Response:
        return Response(status_code=200 if request.path_params["oid"] in self.blobs else 404)

    async def commit(self, request: Request) -> Response:
        repo = self.find(request)
        if self.break_once("commit_500"):
            return Response("broken", 500)
        ref = request.path_params["revision"]
        head = repo.resolve(ref)
        tree = dict(repo.commits[head])
        header = {}
        for line in (await request.body()).splitlines():
            item = json.loads(line)
            value = item["value"]
            header = value if item["key"] == "header" else header
            if item["key"] == "header" and value.get("parentCommit", head) != head:
                raise RefusalError(412, None, "The branch has moved")
            if item["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            if item["key"] == "lfsFile":
                tree[value["path"]] = self.blobs[value["oid"]]
            if item["key"] == "deletedFile":
                del tree[value["path"]]
        repo_url = f"{self.endpoint}/{request.path_params['owner']}/{request.path_params['name']}"
        answer = {}
        if request.query_params.get("create_pr"):
            ref = f"refs/pr/{1 + sum(name.startswith('refs/pr/') for name in repo.refs)}"
            answer["pullRequestUrl"] = f"{repo_url}/discussions/{ref.split('/')[-1]}"
        oid = repo.commit(ref, tree, header["summary"], header["description"])
        if self.break_once("commit_lost"):
            return Response("the answer is lost", 504)
        return JSONResponse({**answer, "commitOid": oid, "commitUrl": f"{repo_url}/commit/{oid}"})

    async def file(self, request: Request) -> Response:
        repo = self.find(request)
        sha = repo.resolve(request.path_params["revision"])
        if sha is None:
            raise RefusalError(404, "RevisionNotFound", "Invalid rev id")
        path = request.path_params["path"]
        content = repo.commits[sha].get(path)
        if content is None:
            raise RefusalError(404, "EntryNotFound", "Entry not found", sha)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{file_oid(path, content)}"'}
        if path.endswith(LARGE):
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
            location = f"{self.cdn}/cdn/{sha256(content)}"
            return RedirectResponse(location, 302, headers | self.headers)
        if request.method == "GET" and self.break_once("flip_small"):
            content = flipped(content)
        for fault, seconds in (("endless", 0), ("drip", 0.02)):
            if request.method == "GET" and self.break_once(fault):
                return StreamingResponse(forever(seconds), headers=headers | self.headers)
        return Response(content, headers=headers | self.headers)

    async def cdn_get(self, request: Request) -> Response:
        self.requests.append(f"{request.method} /cdn")
        self.tokens_at_cdn += request.headers.getlist("authorization")
        content = self.blobs[request.path_params["oid"]]
        if request.method == "GET" and self.break_once("flip"):
            content = flipped(content)
        if request.method == "GET" and self.break_once("short"):
            content = content[: len(content) // 2]
        return Response(content)


async def forever(seconds: float) -> AsyncIterator[bytes]:
    """Yield one byte every `seconds` seconds, forever. If `seconds` is 0, yield large chunks."""
    while True:
        yield b"x" * (1 if seconds else 65536)
        await asyncio.sleep(seconds)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
