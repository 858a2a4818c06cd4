// FileLoader: what a directory means, document by document, without any watching.
#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "adapters/file/documents.h"
#include "adapters/file/file_loader.h"
#include "adapters/file/file_source.h"
#include "base/file.h"

namespace fairlead::adapters::file_loader_test {
namespace {

std::string service(const std::string& name, const std::string& extra = "") {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {ports: [{port: 80}]" + extra + "}\n";
}

// "a b" of what was added or changed, in order.
std::string names(const SourceUpdate& u) {
  std::string all;
  for (const ObjectPtr& o : u.upserted) all += (all.empty() ? "" : " ") + o->key.name;
  return all;
}
std::string removed(const SourceUpdate& u) {
  std::string all;
  for (const ObjectKey& k : u.removed) all += (all.empty() ? "" : " ") + k.name;
  return all;
}
std::string kept(const SourceUpdate& u) {
  std::string all;
  for (const ObjectKey& k : u.kept) all += (all.empty() ? "" : " ") + k.name;
  return all;
}
bool tells(const SourceUpdate& u, Severity severity, const std::string& part) {
  return std::any_of(u.diagnostics.begin(), u.diagnostics.end(), [&](const Diagnostic& d) {
    return d.severity == severity && d.str().find(part) != std::string::npos;
  });
}

TEST_CASE("a tree is read with its nested directories, and hidden and foreign files are left out") {
  TemporaryDirectory dir;
  dir.write("a.yaml", service("a"));
  dir.write("sub/deep/b.yml", service("b"));
  dir.write("c.json", R"({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c"}})");
  dir.write(".hidden.yaml", service("hidden"));
  dir.write(".git/d.yaml", service("d"));
  dir.write("README.md", "# not ours");
  dir.write("e.yaml~", service("e"));
  FileLoader loader(dir.path());
  const SourceUpdate u = loader.load();
  CHECK(names(u) == "a b c");
  CHECK(u.synced);
  CHECK(u.lost.empty());
  CHECK(u.diagnostics.empty());
  CHECK(u.source == "file:" + dir.path());
  CHECK(u.upserted[0]->place() == dir.path("a.yaml") + ":1");
}

TEST_CASE("a single file is a source, too") {
  TemporaryDirectory dir;
  dir.write("other.yaml", service("other"));
  FileLoader loader(dir.write("one.yaml", service("a") + "---\n" + service("b")));
  CHECK(names(loader.load()) == "a b");
}

TEST_CASE("a second load reports only what differs") {
  TemporaryDirectory dir;
  dir.write("a.yaml", service("a"));
  dir.write("b.yaml", service("b"));
  FileLoader loader(dir.path());
  loader.load();
  const SourceUpdate same = loader.load();
  CHECK(names(same).empty());
  CHECK(removed(same).empty());
  dir.write("b.yaml", service("b", ", type: NodePort"));
  dir.write("c.yaml", service("c"));
  std::filesystem::remove(dir.path("a.yaml"));
  const SourceUpdate u = loader.load();
  CHECK(names(u) == "b c");
  CHECK(removed(u) == "a");
}

TEST_CASE("a rewrite within one tick of the kernel's clock and of the same size is seen") {
  TemporaryDirectory dir;
  FileLoader loader(dir.path());
  for (int i = 0; i < 50; ++i) {
    const std::string name = i % 2 ? "aa" : "bb";
    dir.write("x.yaml", service(name));
    CHECK(names(loader.load()) == name);
  }
}

TEST_CASE("a broken document costs only itself and keeps the last good objects that are missing") {
  TemporaryDirectory dir;
  dir.write("x.yaml", service("a") + "---\n" + service("b") + "---\n" + service("c"));
  FileLoader loader(dir.path());
  CHECK(names(loader.load()) == "a b c");
  dir.write("x.yaml", service("a", ", type: NodePort") + "---\nkind: [unclosed\n---\n" + service("d"));
  const SourceUpdate u = loader.load();
  CHECK(names(u) == "a d");
  CHECK(removed(u).empty());
  CHECK(kept(u) == "b c");
  CHECK(tells(u, Severity::kError, dir.path("x.yaml") + ":"));
  CHECK(tells(u, Severity::kWarning, "Service default/b: its last good version stays in use"));
  // Repaired: what is really gone goes now.
  dir.write("x.yaml", service("a", ", type: NodePort") + "---\n" + service("d"));
  const SourceUpdate repaired = loader.load();
  CHECK(removed(repaired) == "b c");
  CHECK(repaired.diagnostics.empty());
}

TEST_CASE("errors of a later document name its own line in the file") {
  TemporaryDirectory dir;
  FileLoader loader(dir.write("x.yaml", "# first\n" + service("a") + "---\n" + "a: 1\nb: [\n---\n" + service("c")));
  const SourceUpdate u = loader.load();
  CHECK(names(u) == "a c");
  REQUIRE(u.diagnostics.size() == 1);
  CHECK(u.diagnostics[0].line >= 8);
  CHECK(u.diagnostics[0].line <= 9);
  CHECK(u.upserted[1]->line == 10);
  CHECK(u.upserted[1]->body.find("metadata")->mark().line == 12);
}

TEST_CASE("an object whose identity can be read and whose metadata is bad keeps only its own last version") {
  TemporaryDirectory dir;
  dir.write("x.yaml", service("a") + "---\n" + service("b"));
  FileLoader loader(dir.path());
  loader.load();
  dir.write("x.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {x: 1}}\n");
  const SourceUpdate u = loader.load();
  CHECK(kept(u) == "a");
  CHECK(removed(u) == "b");
  CHECK(tells(u, Severity::kError, "Service default/a: metadata.labels"));
}

TEST_CASE("an object given twice is told at both places and the first by path order is used") {
  TemporaryDirectory dir;
  dir.write("a.yaml", "# moved down\n" + service("x"));
  dir.write("b.yaml", service("x", ", type: NodePort"));
  FileLoader loader(dir.path());
  const SourceUpdate u = loader.load();
  REQUIRE(u.upserted.size() == 1);
  CHECK(u.upserted[0]->file == dir.path("a.yaml"));
  CHECK(tells(u, Severity::kError, dir.path("b.yaml") + ":1: Service default/x: metadata.name: is given twice; the one at " +
                                       dir.path("a.yaml") + ":2 is used"));
  std::filesystem::remove(dir.path("a.yaml"));
  const SourceUpdate second = loader.load();
  REQUIRE(second.upserted.size() == 1);
  CHECK(second.upserted[0]->file == dir.path("b.yaml"));
  CHECK(second.removed.empty());
  CHECK(second.diagnostics.empty());
}

TEST_CASE("an object that moved to another file is taken from there, not from its broken old one") {
  TemporaryDirectory dir;
  dir.write("a.yaml", service("x"));
  FileLoader loader(dir.path());
  loader.load();
  dir.write("a.yaml", "kind: [\n");
  dir.write("b.yaml", service("x"));
  const SourceUpdate u = loader.load();
  REQUIRE(u.upserted.size() == 1);
  CHECK(u.upserted[0]->file == dir.path("b.yaml"));
  CHECK(u.kept.empty());
}

TEST_CASE("a path that does not exist never syncs; one that vanishes keeps what it held") {
  TemporaryDirectory dir;
  FileLoader loader(dir.path("conf"));
  const SourceUpdate first = loader.load();
  CHECK_FALSE(first.synced);
  CHECK(first.lost == dir.path("conf") + ": does not exist");
  dir.write("conf/a.yaml", service("a"));
  CHECK(names(loader.load()) == "a");
  std::filesystem::rename(dir.path("conf"), dir.path("gone"));
  const SourceUpdate lost = loader.load();
  CHECK(lost.synced);
  CHECK_FALSE(lost.lost.empty());
  CHECK(lost.removed.empty());
  CHECK(tells(lost, Severity::kError, "what was read last stays in use"));
  std::filesystem::rename(dir.path("gone"), dir.path("conf"));
  const SourceUpdate back = loader.load();
  CHECK(back.lost.empty());
  CHECK(names(back).empty());
  CHECK(back.diagnostics.empty());
}

TEST_CASE("a directory that comes back empty is one that is being filled: what it held stays until there is a file") {
  TemporaryDirectory dir;
  dir.write("conf/a.yaml", service("a"));
  FileLoader loader(dir.path("conf"));
  loader.load();
  std::filesystem::remove_all(dir.path("conf"));
  CHECK_FALSE(loader.load().lost.empty());
  std::filesystem::create_directory(dir.path("conf"));
  const SourceUpdate empty = loader.load();
  CHECK(empty.removed.empty());
  CHECK(empty.lost == dir.path("conf") + ": came back empty");
  dir.write("conf/b.yaml", service("b"));
  const SourceUpdate back = loader.load();
  CHECK(back.lost.empty());
  CHECK(removed(back) == "a");
  CHECK(names(back) == "b");
}

TEST_CASE("an empty directory and an empty file hold nothing") {
  TemporaryDirectory dir;
  dir.write("a.yaml", service("a"));
  dir.write("b.yaml", service("b"));
  FileLoader loader(dir.path());
  loader.load();
  dir.write("a.yaml", "");
  CHECK(removed(loader.load()) == "a");
  std::filesystem::remove(dir.path("a.yaml"));
  std::filesystem::remove(dir.path("b.yaml"));
  // a directory about to be removed looks the same: it is looked at twice
  CHECK(removed(loader.load()).empty());
  CHECK(loader.unstable());
  CHECK(removed(loader.load()) == "b");
  CHECK_FALSE(loader.unstable());
}

TEST_CASE("links in a circle and links to a directory already read are told and skipped") {
  TemporaryDirectory dir;
  dir.write("sub/a.yaml", service("a"));
  REQUIRE(symlink("..", dir.path("sub/up").c_str()) == 0);
  REQUIRE(symlink("loop.yaml", dir.path("loop.yaml").c_str()) == 0);
  REQUIRE(symlink("nowhere.yaml", dir.path("broken.yaml").c_str()) == 0);
  FileLoader loader(dir.path());
  const SourceUpdate u = loader.load();
  CHECK(names(u) == "a");
  CHECK(tells(u, Severity::kWarning, "sub/up: is a link to a directory that is read already"));
  CHECK(tells(u, Severity::kWarning, "loop.yaml: is a link in a circle"));
  CHECK(tells(u, Severity::kError, "broken.yaml: is a link that leads nowhere"));
}

TEST_CASE("a ConfigMap volume is read through its links, once") {
  TemporaryDirectory dir;
  dir.write("..2026_01/routes.yaml", service("a"));
  REQUIRE(symlink("..2026_01", dir.path("..data").c_str()) == 0);
  REQUIRE(symlink("..data/routes.yaml", dir.path("routes.yaml").c_str()) == 0);
  FileLoader loader(dir.path());
  const SourceUpdate u = loader.load();
  CHECK(names(u) == "a");
  CHECK(u.diagnostics.empty());
  // The directory the link leads through is watched for the swap of ..data.
  CHECK(loader.watch().at(dir.path()).covers("..data"));
  CHECK_FALSE(loader.watch().at(dir.path()).covers(".swp"));
}

TEST_CASE("limits of file size, total size, number, depth of directories and of documents") {
  TemporaryDirectory dir;
  dir.write("a.yaml", service("a"));
  SECTION("file size keeps the last good objects") {
    FileLimits limits;
    limits.max_file_bytes = 200;
    FileLoader loader(dir.path(), limits);
    CHECK(names(loader.load()) == "a");
    dir.write("a.yaml", service("a") + std::string(300, '#'));
    const SourceUpdate u = loader.load();
    CHECK(kept(u) == "a");
    CHECK(u.removed.empty());
    CHECK(tells(u, Severity::kError, "at most 200 are read"));
  }
  SECTION("total size") {
    FileLimits limits;
    limits.max_total_bytes = 100;
    dir.write("b.yaml", service("b"));
    const SourceUpdate u = FileLoader(dir.path(), limits).load();
    CHECK(names(u) == "a");
    CHECK(tells(u, Severity::kError, "b.yaml: not read: the source is bigger than 100 bytes"));
  }
  SECTION("number of files") {
    FileLimits limits;
    limits.max_files = 2;
    dir.write("b.yaml", service("b"));
    dir.write("c.yaml", service("c"));
    const SourceUpdate u = FileLoader(dir.path(), limits).load();
    CHECK(names(u) == "a b");
    CHECK(tells(u, Severity::kError, "more than 2 files"));
  }
  SECTION("depth of directories") {
    FileLimits limits;
    limits.max_directory_depth = 1;
    dir.write("1/b.yaml", service("b"));
    dir.write("1/2/c.yaml", service("c"));
    const SourceUpdate u = FileLoader(dir.path(), limits).load();
    CHECK(names(u) == "a b");
    CHECK(tells(u, Severity::kError, "nested deeper than 1"));
  }
  SECTION("depth of a document, others go on") {
    dir.write("deep.yaml", "a: " + std::string(5000, '[') + std::string(5000, ']') + "\n---\n" + service("b"));
    const SourceUpdate u = FileLoader(dir.path()).load();
    CHECK(names(u) == "a b");
    CHECK(tells(u, Severity::kError, "deep.yaml:"));
  }
  SECTION("alias bomb, others go on") {
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 12; ++i) {
      bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
      for (int j = 0; j < 10; ++j) bomb += (j ? ", *a" : "*a") + std::to_string(i - 1);
      bomb += "]\n";
    }
    dir.write("bomb.yaml", bomb + "---\n" + service("b"));
    const SourceUpdate u = FileLoader(dir.path()).load();
    CHECK(names(u) == "a b");
    CHECK(tells(u, Severity::kError, "bomb.yaml:"));
  }
}

TEST_CASE("a file looked at by itself: changed, added, gone, renamed, and what is not ours beside it") {
  TemporaryDirectory dir;
  dir.write("a.yaml", service("a"));
  dir.write("sub/b.yaml", service("b"));
  FileLoader loader(dir.path());
  CHECK_FALSE(loader.load_only({dir.path("a.yaml")}).has_value());  // nothing was loaded yet
  loader.load();

  // Only what was named is looked at.
  dir.write("a.yaml", service("a", ", type: NodePort"));
  dir.write("sub/b.yaml", service("b", ", type: NodePort"));
  std::optional<SourceUpdate> u = loader.load_only({dir.path("a.yaml")});
  REQUIRE(u);
  CHECK(names(*u) == "a");
  CHECK(u->synced);
  u = loader.load_only({dir.path("sub/b.yaml"), dir.path("notes.txt"), dir.path("gone.yaml")});
  REQUIRE(u);
  CHECK(names(*u) == "b");

  dir.write("sub/c.yaml", service("c"));
  std::filesystem::rename(dir.path("a.yaml"), dir.path("sub/d.yaml"));
  u = loader.load_only({dir.path("a.yaml"), dir.path("sub/c.yaml"), dir.path("sub/d.yaml")});
  REQUIRE(u);
  CHECK(names(*u) == "a c");
  CHECK(removed(*u).empty());
  CHECK(u->upserted[0]->file == dir.path("sub/d.yaml"));
  std::filesystem::remove(dir.path("sub/d.yaml"));
  u = loader.load_only({dir.path("sub/d.yaml")});
  REQUIRE(u);
  CHECK(removed(*u) == "a");

  // One that is being written waits, as in a load of everything.
  dir.write("sub/c.yaml", service("c", ", type: NodePort"));
  u = loader.load_only({dir.path("sub/c.yaml")}, {dir.path("sub/c.yaml")});
  REQUIRE(u);
  CHECK(names(*u).empty());

  // A document that breaks keeps its object, and is told until it is repaired, whatever else changes.
  dir.write("sub/c.yaml", "kind: [\n");
  u = loader.load_only({dir.path("sub/c.yaml")});
  REQUIRE(u);
  CHECK(kept(*u) == "c");
  dir.write("sub/b.yaml", service("b"));
  u = loader.load_only({dir.path("sub/b.yaml")});
  REQUIRE(u);
  CHECK(names(*u) == "b");
  CHECK(kept(*u) == "c");
  CHECK(tells(*u, Severity::kError, "sub/c.yaml:"));
  dir.write("sub/c.yaml", service("c"));
  u = loader.load_only({dir.path("sub/c.yaml")});
  REQUIRE(u);
  CHECK(names(*u).empty());  // the one that was kept
  CHECK(kept(*u).empty());
  CHECK(u->diagnostics.empty());
}

TEST_CASE("what one file cannot tell is left to a load of everything") {
  TemporaryDirectory dir;
  dir.write("a.yaml", service("a"));
  dir.write("sub/b.yaml", service("b"));
  dir.write("..v1/l.yaml", service("l"));
  REQUIRE(symlink("..v1", dir.path("..data").c_str()) == 0);
  REQUIRE(symlink("..data/l.yaml", dir.path("l.yaml").c_str()) == 0);
  REQUIRE(link(dir.path("a.yaml").c_str(), dir.path(".hard").c_str()) == 0);
  FileLimits limits;
  limits.max_files = 4;
  limits.max_total_bytes = 1000;
  FileLoader loader(dir.path(), limits);
  CHECK(names(loader.load()) == "a b l");
  const auto alone = [&](const std::string& name) { return loader.load_only({dir.path(name)}).has_value(); };
  CHECK(alone("sub/b.yaml"));
  CHECK_FALSE(alone("a.yaml"));   // has a second name
  CHECK_FALSE(alone("l.yaml"));   // is a link
  CHECK_FALSE(alone("..data"));   // is what a link leads through
  CHECK_FALSE(alone("sub"));      // is a directory
  std::filesystem::rename(dir.path("sub"), dir.path("moved"));
  CHECK_FALSE(alone("sub"));      // was one
  CHECK_FALSE(alone("moved/b.yaml"));  // of a directory that nobody has listed
  CHECK_FALSE(loader.load_only({"a.yaml"}).has_value());  // no path as listed
  CHECK(loader.load().removed.empty());
  SECTION("the number of files") {
    dir.write("c.yaml", service("c"));
    CHECK(alone("c.yaml"));
    dir.write("d.yaml", service("d"));
    CHECK_FALSE(alone("d.yaml"));
    CHECK(tells(loader.load(), Severity::kError, "more than 4 files"));
    CHECK_FALSE(alone("c.yaml"));  // the tree was not seen whole
  }
  SECTION("their size") {
    dir.write("c.yaml", service("c") + std::string(1000, '#'));
    CHECK_FALSE(alone("c.yaml"));
    CHECK(tells(loader.load(), Severity::kError, "the source is bigger than 1000 bytes"));
    dir.write("c.yaml", service("c"));
    CHECK_FALSE(alone("c.yaml"));  // others may fit now, too
  }
  SECTION("the last file of all") {
    for (const char* name : {"a.yaml", "l.yaml"}) std::filesystem::remove(dir.path(name));
    loader.load();
    std::filesystem::remove(dir.path("moved/b.yaml"));
    CHECK_FALSE(alone("moved/b.yaml"));
  }
  SECTION("a file that cannot be read is tried again with whatever comes next") {
    if (geteuid() == 0) limits.max_file_bytes = 100;
    FileLoader strict(dir.path(), limits);
    dir.write("big.yaml", service("big") + std::string(200, '#'));
    std::filesystem::permissions(dir.path("big.yaml"), std::filesystem::perms::none);
    CHECK(tells(strict.load(), Severity::kError, "big.yaml: "));
    CHECK_FALSE(strict.load_only({dir.path("moved/b.yaml")}).has_value());
  }
}

// What a source's updates add up to, as text.
class Sum {
 public:
  void add(const SourceUpdate& u) {
    for (const ObjectKey& key : u.removed) REQUIRE(objects_.erase(key) == 1);
    for (const ObjectPtr& o : u.upserted) objects_[o->key] = o;
    last_ = u;
  }
  std::string text() const {
    std::string all = last_.lost + "\n";
    for (const auto& [key, o] : objects_) all += o->place() + " " + key.name + " " + doc::to_json(o->body) + "\n";
    all += "kept " + kept(last_) + "\n";
    for (const Diagnostic& d : last_.diagnostics) all += d.str() + "\n";
    return all;
  }

 private:
  std::map<ObjectKey, ObjectPtr> objects_;
  SourceUpdate last_;
};

TEST_CASE("looking only where something happened comes to the same as looking everywhere") {
  namespace fs = std::filesystem;
  int alone = 0, steps = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    TemporaryDirectory dir;
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    dir.write("a.yaml", service("a"));
    dir.write("sub/b.yaml", service("b"));
    FileLimits limits;
    limits.max_files = 6;
    limits.max_total_bytes = 1500;
    FileLoader everywhere(dir.path(), limits), there(dir.path(), limits);
    Sum whole, parts;
    whole.add(everywhere.load());
    parts.add(there.load());
    std::set<std::string> touched;
    for (int step = 0; step < 120; ++step) {
      const std::vector<std::string> files = {"a.yaml", "b.yaml", "c.json", "sub/a.yaml", "sub/b.yaml", "sub/note.txt", "up/a.yaml"};
      const auto pick = [&] { return files[static_cast<size_t>(below(static_cast<int>(files.size())))]; };
      const auto touch = [&](const std::string& name) { touched.insert(dir.path(name)); };
      const std::string at = pick(), other = pick();
      std::error_code ignored;
      if (const int what = below(12); what < 6) {
        std::string text;
        for (int i = below(4); i > 0; --i) {
          text += below(10) == 0 ? "kind: [\n---\n" : service(std::string(1, static_cast<char>('a' + below(5))), below(2) ? ", type: NodePort" : "") + "---\n";
        }
        if (fs::is_directory(fs::path(dir.path(at)).parent_path(), ignored) && !fs::is_symlink(fs::path(dir.path(at)))) dir.write(at, text);
        touch(at);
      } else if (what < 8) {
        fs::remove(dir.path(at), ignored);
        touch(at);
      } else if (what == 8) {
        fs::rename(dir.path(at), dir.path(other), ignored);
        touch(at), touch(other);
      } else if (what == 9) {
        if (!fs::exists(dir.path("up"), ignored) || below(2)) {
          fs::rename(dir.path("sub"), dir.path("up"), ignored);
        } else {
          fs::rename(dir.path("up"), dir.path("sub"), ignored);
        }
        touch("sub"), touch("up");
      } else if (what == 10) {
        fs::create_symlink(fs::path(other).filename(), dir.path(at), ignored);
        touch(at);
      } else {
        fs::create_directory(dir.path("sub"), ignored);
        touch("sub");
      }
      if (below(3) == 0) continue;
      whole.add(everywhere.load());
      std::optional<SourceUpdate> update = there.load_only(touched);
      alone += update ? 1 : 0;
      ++steps;
      parts.add(update ? *std::move(update) : there.load());
      touched.clear();
      INFO("seed " << seed << ", step " << step);
      REQUIRE(parts.text() == whole.text());
    }
  }
  CHECK(alone > steps / 4);
}

TEST_CASE("the items of a List are objects of their own") {
  const Documents d = read_documents(
      "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n- {apiVersion: v1, kind: "
      "Service, metadata: {name: b}}\n",
      "x.yaml", {});
  REQUIRE(d.values.size() == 2);
  CHECK(d.values[1].mark().line == 5);
}

TEST_CASE("documents are cut at markers, also after comments and directives, and inside a broken block") {
  const Documents d = read_documents("%YAML 1.2\n# head\n---\na: 1\n...\n# between\n---\nb: [unclosed\n--- \nc: 3\n", "x.yaml", {});
  INFO(doc::to_yaml(doc::list(d.values)));
  REQUIRE(d.values.size() == 2);
  CHECK(d.values[0].find("a")->as_integer() == 1);
  CHECK(d.values[1].find("c")->as_integer() == 3);
  CHECK(d.values[1].find("c")->mark().line == 10);
  REQUIRE(d.diagnostics.size() == 1);
}

TEST_CASE("a quote that is never closed is an error, also at the end of the text") {
  for (const char* text : {"a: \"half\n", "a: 'half\n", "a: \"half", "b: 1\n---\na: 'half\n"}) {
    INFO(text);
    const Documents d = read_documents(text, "x.yaml", {});
    CHECK(d.diagnostics.size() == 1);
  }
  // Block scalars keep their last line break, or its absence.
  CHECK(read_documents("a: |\n  x\n", "x.yaml", {}).values[0].find("a")->as_string() == "x\n");
  CHECK(read_documents("a: |\n  x", "x.yaml", {}).values[0].find("a")->as_string() == "x");
}

TEST_CASE("many broken documents are counted, not listed one by one") {
  std::string text;
  for (int i = 0; i < 150; ++i) text += "---\na: [\n";
  const Documents d = read_documents(text, "x.yaml", {});
  REQUIRE(d.diagnostics.size() == 101);
  CHECK(d.diagnostics.back().message == "50 more documents cannot be read");
}

TEST_CASE("source names are file:PATH") {
  CHECK(*file_source_path("file:/etc/fairlead") == "/etc/fairlead");
  CHECK_FALSE(file_source_path("file:").ok());
  CHECK_FALSE(file_source_path("/etc/fairlead").ok());
}

}  // namespace
}  // namespace fairlead::adapters::file_loader_test
