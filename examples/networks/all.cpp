// The list of networks: a new one is a header beside this file and a line here.
#include "bigkernel_10k.h"
#include "dense_19k.h"
#include "dropout_6k.h"
#include "gap_19k.h"
#include "gap_8k.h"
#include "network.h"
#include "norm_6k.h"
#include "plain_6k.h"
#include "rotate_7k.h"
#include "skip_7k.h"
#include "transition_16k.h"

#include <mica/core/error.h>
#include <mica/core/nearest.h>

namespace mica::networks {

const std::vector<Network>& all() {
  static const std::vector<Network> networks{gap_19k(), bigkernel_10k(), dropout_6k(), gap_8k(), rotate_7k(), transition_16k(), plain_6k(), norm_6k(), skip_7k(), dense_19k(), dense_bn_19k()};
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
