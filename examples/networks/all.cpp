// The list of networks: a new one is a header beside this file and a line here.
#include "gap_19k.h"
#include "network.h"

#include <mica/core/error.h>
#include <mica/core/nearest.h>

namespace mica::networks {

const std::vector<Network>& all() {
  static const std::vector<Network> networks{gap_19k()};
  return networks;
}

const Network& find(std::string_view name) {
  std::vector<std::string> names;
  for (const Network& network : all()) {
    if (network.name == name) return network;
    names.push_back(network.name);
  }
  const std::string nearest = nearest_name(std::string(name), names);
  throw Error("unknown network '" + std::string(name) + "'" + (nearest.empty() ? "" : "; did you mean " + nearest + "?") + " (--list names all)");
}

}  // namespace mica::networks
