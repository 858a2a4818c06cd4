// Identity and metadata of documents, texts of keys and diagnostics, conditions.
#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"
#include "base/doc.h"
#include "base/doc_reader.h"
#include "base/status.h"

namespace fairlead::adapters {
namespace {

ObjectPtr read(const std::string& yaml, std::vector<Diagnostic>& errors, ObjectKey* key = nullptr) {
  const auto documents = doc::parse_yaml(yaml, "x.yaml");
  REQUIRE(documents.ok());
  REQUIRE(documents->size() == 1);
  return read_object((*documents)[0], "file:x", "x.yaml", errors, key);
}

TEST_CASE("an object has the identity and metadata of its document") {
  std::vector<Diagnostic> errors;
  const ObjectPtr o = read(
      "\n\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: app\n  namespace: shop\n  generation: 3\n"
      "  labels: {a: b}\n  annotations: {c: d}\n  creationTimestamp: 2026-01-02T03:04:05Z\n  uid: x\n  managedFields: []\n",
      errors);
  REQUIRE(o);
  CHECK(errors.empty());
  CHECK(o->key == ObjectKey{"gateway.networking.k8s.io", "HTTPRoute", "shop", "app"});
  CHECK(o->key.str() == "HTTPRoute shop/app");
  CHECK(o->generation == 3);
  CHECK(o->labels.at("a") == "b");
  CHECK(o->annotations.at("c") == "d");
  CHECK(o->created.time_since_epoch().count() == 1767323045);
  CHECK(o->place() == "x.yaml:3");
}

TEST_CASE("a namespace is default unless given, and none for cluster-scoped kinds") {
  std::vector<Diagnostic> errors;
  CHECK(read("{apiVersion: v1, kind: Service, metadata: {name: a}}", errors)->key.ns == "default");
  CHECK(read("{apiVersion: v1, kind: Service, metadata: {name: a, namespace: \"\"}}", errors)->key.ns == "default");
  CHECK(read("{apiVersion: v1, kind: Namespace, metadata: {name: a}}", errors)->key.ns.empty());
  const ObjectPtr c = read("{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: a, namespace: b}}", errors);
  CHECK(c->key.ns.empty());
  CHECK(c->key.str() == "GatewayClass a");
  CHECK(errors.empty());
}

TEST_CASE("the content hash follows the content, not the place") {
  std::vector<Diagnostic> errors;
  const std::string text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
  const ObjectPtr a = read(text, errors), moved = read("\n\n" + text, errors), other = read(text + "spec: {}\n", errors);
  CHECK(a->content_hash == moved->content_hash);
  CHECK(a->line != moved->line);
  CHECK(a->content_hash != other->content_hash);
}

TEST_CASE("the content hash leaves out what API servers count, and what controllers say of objects that are not the core group's") {
  const auto served = [](const std::string& api, const std::string& version, const std::string& status, const std::string& spec) {
    std::vector<Diagnostic> errors;
    const ObjectPtr o = read_object(*doc::parse_json(R"({"apiVersion":")" + api + R"(","kind":"Thing","metadata":{"name":"a","resourceVersion":")" + version +
                                                     R"(","managedFields":[{"time":")" + version + R"("}]},"spec":")" + spec + R"(","status":{"s":")" + status + R"("}})", ""), "kubernetes", "", errors);
    REQUIRE(o);
    return o->content_hash;
  };
  const uint64_t hash = served("ours/v1", "1", "new", "x");
  CHECK(served("ours/v1", "2", "accepted", "x") == hash);
  CHECK(served("ours/v1", "2", "accepted", "y") != hash);
  CHECK(served("v1", "1", "", "x") == served("v1", "2", "", "x"));
  CHECK(served("v1", "1", "", "x") != served("v1", "1", "addresses", "x"));
}

TEST_CASE("names are held to what Kubernetes takes") {
  for (const char* name : {"a", "a-b.c", "0"}) {
    std::vector<Diagnostic> errors;
    CHECK(read("{apiVersion: v1, kind: Service, metadata: {name: \"" + std::string(name) + "\"}}", errors));
  }
  for (const char* name : {"", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "a.-b", "a/b"}) {
    std::vector<Diagnostic> errors;
    INFO(name);
    CHECK_FALSE(read("{apiVersion: v1, kind: Service, metadata: {name: \"" + std::string(name) + "\"}}", errors));
    CHECK(errors.size() == 1);
  }
}

TEST_CASE("as much of a bad identity as can be read is told") {
  std::vector<Diagnostic> errors;
  ObjectKey key;
  CHECK_FALSE(read("{apiVersion: v1, kind: Service, metadata: {name: a, labels: 3}}", errors, &key));
  CHECK(key == ObjectKey{"", "Service", "default", "a"});
  REQUIRE(errors.size() == 1);
  CHECK(errors[0].field == "metadata.labels");
  CHECK(errors[0].object == key);
}

TEST_CASE("errors of the document readers become diagnostics with line and field") {
  Object object;
  object.file = "dir/x.yaml";
  object.line = 1;
  ErrorList list;
  list.add(absl::InvalidArgumentError("dir/x.yaml:12: spec.a[0]: expected: nothing"));
  list.add(absl::InvalidArgumentError("just words: and more"));
  std::vector<Diagnostic> out;
  add_errors(list, object, out);
  REQUIRE(out.size() == 2);
  CHECK(out[0].line == 12);
  CHECK(out[0].field == "spec.a[0]");
  CHECK(out[0].message == "expected: nothing");
  CHECK(out[1].line == 1);
  CHECK(out[1].field.empty());
  CHECK(out[1].message == "just words: and more");
}

TEST_CASE("errors in an object without a file name its field, not the line of a text that nobody sees") {
  std::vector<Diagnostic> errors, out;
  const ObjectPtr o = read_object(*doc::parse_json(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"a","generation":4},"spec":7})", ""), "kubernetes", "", errors);
  REQUIRE(o);
  CHECK(o->place() == "Service default/a@4");
  ErrorList list;
  list.add(doc::Reader(o->body).get("spec").expected("a map"));
  add_errors(list, *o, out);
  REQUIRE(out.size() == 1);
  CHECK(out[0].str() == "Service default/a: spec: expected a map, got 7");
}

int times_read = 0;

struct Thing {
  std::string value;
};
Thing read_thing(const Object& object, std::vector<Diagnostic>& out) {
  ++times_read;
  const doc::Value* value = object.body.find("value");
  if (!value) out.push_back({Severity::kError, object.key, "", 0, "value", "is required"});
  if (value && value->as_string() == "odd") out.push_back({Severity::kWarning, object.key, "", 0, "value", "is odd"});
  return {value ? value->as_string() : ""};
}

TEST_CASE("what a check has read stays with the object, unless something was wrong; a copy has nothing of it") {
  std::vector<Diagnostic> out;
  times_read = 0;
  const ObjectPtr o = read("{apiVersion: v1, kind: Service, metadata: {name: a}, value: odd}", out);
  const auto kept = read_and_keep(*o, read_thing, out);
  REQUIRE(out.size() == 1);  // a warning makes no object bad
  CHECK(reading_of(*o, read_thing) == kept);
  CHECK(times_read == 1);
  CHECK(o->reading.get<std::string>() == nullptr);

  auto copy = std::make_shared<Object>(*o);
  CHECK(copy->reading.get<Thing>() == nullptr);
  copy->body = doc::with(o->body, "value", doc::string("other"));
  CHECK(reading_of(*copy, read_thing)->value == "other");
  *copy = *o;
  CHECK(copy->reading.get<Thing>() == nullptr);
  CHECK(reading_of(*o, read_thing)->value == "odd");

  const ObjectPtr bad = read("{apiVersion: v1, kind: Service, metadata: {name: a}}", out);
  read_and_keep(*bad, read_thing, out);
  CHECK(bad->reading.get<Thing>() == nullptr);
  // What was wrong with others before counts for nothing.
  const ObjectPtr good = read("{apiVersion: v1, kind: Service, metadata: {name: a}, value: fine}", out);
  read_and_keep(*good, read_thing, out);
  CHECK(good->reading.get<Thing>() != nullptr);
}

TEST_CASE("a diagnostic reads as place, object, field, message") {
  const Diagnostic d{Severity::kError, {"", "Service", "default", "a"}, "x.yaml", 3, "spec.type", "is wrong"};
  CHECK(d.str() == "x.yaml:3: Service default/a: spec.type: is wrong");
  CHECK(Diagnostic{Severity::kError, {}, "", 0, "", "is wrong"}.str() == "is wrong");
}

TEST_CASE("a status sink keeps one condition per type and scope, in the order first set") {
  StatusSink sink;
  const ObjectKey route{"g", "HTTPRoute", "default", "r"};
  const StatusScope parent{{"g", "Gateway", "default", "gw"}, "http", 0};
  sink.set(route, parent, {"Accepted", Truth::kUnknown, "Pending", "", 1});
  sink.set(route, parent, {"ResolvedRefs", Truth::kTrue, "ResolvedRefs", "", 1});
  sink.set(route, parent, {"Accepted", Truth::kTrue, "Accepted", "", 2});
  sink.set(route, {}, {"Accepted", Truth::kFalse, "Other", "why", 0});
  REQUIRE(sink.objects().at(route).size() == 2);
  CHECK(sink.objects().at(route).at(parent).conditions.size() == 2);
  CHECK(sink.objects().at(route).at(parent).conditions[0].type == "Accepted");
  CHECK(sink.find(route, parent, "Accepted")->observed_generation == 2);
  CHECK(sink.find(route, {}, "Accepted")->status == Truth::kFalse);
  CHECK(sink.find(route, parent, "Programmed") == nullptr);
  CHECK(sink.find({"g", "X", "", "x"}, parent, "Accepted") == nullptr);
  CHECK(doc::to_yaml(to_doc(sink)) ==
        "- object: HTTPRoute default/r\n  conditions:\n  - type: Accepted\n    status: \"False\"\n    reason: Other\n    message: why\n"
        "- object: HTTPRoute default/r\n  parent: Gateway default/gw\n  listener: http\n  conditions:\n  - type: Accepted\n"
        "    status: \"True\"\n    reason: Accepted\n    observedGeneration: 2\n  - type: ResolvedRefs\n    status: \"True\"\n"
        "    reason: ResolvedRefs\n    observedGeneration: 1\n");
}

}  // namespace
}  // namespace fairlead::adapters
