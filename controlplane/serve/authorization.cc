// See authorization.h.
#include "controlplane/serve/authorization.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "base/status.h"

namespace fairlead::serve {

absl::StatusOr<Pattern> Pattern::parse(std::string_view text) {
  Pattern out;
  const auto literal = [&](char c) {
    if (out.tokens_.empty() || out.tokens_.back().kind != Kind::kText) out.tokens_.push_back({Kind::kText, ""});
    out.tokens_.back().text += c;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '*') {
      const bool any = i + 1 < text.size() && text[i + 1] == '*';
      i += any;
      out.tokens_.push_back({any ? Kind::kAny : Kind::kSegment, ""});
    } else if (text[i] == '{') {
      const size_t end = text.find('}', i);
      if (end == std::string_view::npos) return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": a { without its }"));
      const std::string name(text.substr(i + 1, end - i - 1));
      // only a whole segment is one thing: of "{a}-{b}" nobody knows where the one ends
      const bool whole = (i == 0 || text[i - 1] == '/') && (end + 1 == text.size() || text[end + 1] == '/');
      if (name.empty() || !whole) return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": {", name, "} must have a name and stand for a whole segment"));
      out.tokens_.push_back({Kind::kCapture, name});
      out.captured_.push_back(name);
      i = end;
    } else if (text[i] == '}') {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": a } without its {"));
    } else {
      literal(text[i]);
    }
  }
  if (out.tokens_.empty()) return absl::InvalidArgumentError("an empty name matches nothing");
  return out;
}

bool Pattern::matches(std::string_view text, Captures& captures) const {
  Captures found = captures;
  if (!matches(0, text, found)) return false;
  captures = std::move(found);
  return true;
}

// Patterns are short and the operator's own: trying each length is cheap enough.
bool Pattern::matches(size_t at, std::string_view rest, Captures& captures) const {
  if (at == tokens_.size()) return rest.empty();
  const Token& token = tokens_[at];
  if (token.kind == Kind::kText) return rest.starts_with(token.text) && matches(at + 1, rest.substr(token.text.size()), captures);
  const size_t most = token.kind == Kind::kAny ? rest.size() : std::min(rest.find('/'), rest.size());
  if (token.kind == Kind::kCapture) {
    const std::string_view segment = rest.substr(0, most);
    if (segment.empty()) return false;
    const auto [known, fresh] = captures.emplace(token.text, segment);
    return (fresh || known->second == segment) && matches(at + 1, rest.substr(most), captures);
  }
  for (size_t n = 0; n <= most; ++n) {
    Captures tried = captures;
    if (!matches(at + 1, rest.substr(n), tried)) continue;
    captures = std::move(tried);
    return true;
  }
  return false;
}

std::vector<Authorization::Line> Authorization::lines_of(std::string_view file, const std::string& path) {
  std::vector<Line> out;
  size_t number = 0;
  for (std::string_view line : absl::StrSplit(file, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (!line.empty()) out.push_back({std::string(line), absl::StrCat(path, ":", number)});
  }
  return out;
}

absl::StatusOr<Authorization::Rule> Authorization::parse(const Line& line) {
  const auto wrong = [&](std::string_view why) { return absl::InvalidArgumentError(absl::StrCat(line.place, ": rule \"", line.text, "\": ", why)); };
  const size_t equals = line.text.find('=');
  if (equals == std::string::npos) return wrong("is not CLIENT=KIND:PATTERN,…");
  Rule rule{line};
  absl::StatusOr<Pattern> client = Pattern::parse(absl::StripAsciiWhitespace(std::string_view(line.text).substr(0, equals)));
  if (!client.ok()) return wrong(client.status().message());
  rule.client = *std::move(client);
  for (std::string_view claim : absl::StrSplit(std::string_view(line.text).substr(equals + 1), ',')) {
    claim = absl::StripAsciiWhitespace(claim);
    const size_t colon = claim.find(':');
    const std::string_view kind = claim.substr(0, colon);
    std::vector<Pattern>* of = kind == "id" ? &rule.ids : kind == "cluster" ? &rule.clusters : kind == "gateway" ? &rule.gateways : kind == "mesh" ? &rule.meshes : nullptr;
    if (of == nullptr || colon == std::string_view::npos) return wrong(absl::StrCat("\"", claim, "\" is not id:PATTERN, cluster:PATTERN, gateway:PATTERN or mesh:PATTERN"));
    absl::StatusOr<Pattern> pattern = Pattern::parse(claim.substr(colon + 1));
    if (!pattern.ok()) return wrong(pattern.status().message());
    for (const std::string& name : pattern->captured()) {
      const std::vector<std::string>& known = rule.client.captured();
      if (std::find(known.begin(), known.end(), name) == known.end()) return wrong(absl::StrCat("{", name, "} is not in the client's half"));
    }
    of->push_back(*std::move(pattern));
  }
  // A node always gives its id: a rule without one would let nobody in.
  if (rule.ids.empty()) return wrong("it allows no id: add id:* for any");
  return rule;
}

absl::StatusOr<Authorization> Authorization::parse(const std::vector<Line>& lines) {
  Authorization out;
  for (const Line& line : lines) {
    FL_ASSIGN_OR_RETURN(Rule rule, parse(line));
    out.rules_.push_back(std::move(rule));
  }
  return out;
}

absl::Status Authorization::check(const rpc::Peer& client, const snapshot::Node& node) const {
  if (empty()) return absl::OkStatus();
  std::vector<std::string> meant;  // rules for this client
  const auto fits = [](const std::vector<Pattern>& allowed, const std::string& value, const Pattern::Captures& captures) {
    if (value.empty() || allowed.empty()) return value.empty() && allowed.empty();
    return std::any_of(allowed.begin(), allowed.end(), [&](const Pattern& p) {
      Pattern::Captures own = captures;
      return p.matches(value, own);
    });
  };
  for (const Rule& rule : rules_) {
    for (const std::string& name : client.names) {
      Pattern::Captures captures;
      if (!rule.client.matches(name, captures)) continue;
      if (fits(rule.ids, node.id, captures) && fits(rule.clusters, node.cluster, captures) && fits(rule.gateways, node.gateway, captures) && fits(rule.meshes, node.mesh, captures)) return absl::OkStatus();
      meant.push_back(rule.line.text);
      break;
    }
  }
  return absl::PermissionDeniedError(
      absl::StrCat("client ", client.names.empty() ? "without a name in a verified certificate or token" : absl::StrJoin(client.names, ", "), " may not be node id \"", node.id,
                   "\", cluster \"", node.cluster, "\"", node.gateway.empty() ? "" : absl::StrCat(", gateway \"", node.gateway, "\""),
                   node.mesh.empty() ? "" : absl::StrCat(", mesh \"", node.mesh, "\""), ": ",
                   meant.empty() ? "no rule is for it" : absl::StrCat("rules for it: ", absl::StrJoin(meant, "; "))));
}

}  // namespace fairlead::serve
