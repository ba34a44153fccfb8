//! URLs and IP addresses. Of `ansible.utils.ipaddr` the queries that roles use.

use super::{Filter, filter, int_or, listed, need, text, text_or};
use crate::template::eval::call::Call;
use crate::template::value::data::{self, as_int, is_seq, items};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use minijinja::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const FILTERS: &[Filter] = &[
    filter("urlsplit", urlsplit),
    filter("ipaddr", |c| addresses(c, None)),
    filter("ipv4", |c| addresses(c, Some(4))),
    filter("ipv6", |c| addresses(c, Some(6))),
    filter("ipwrap", |c| {
        let all = if is_seq(&c.subject) {
            items(&c.subject)?
        } else {
            vec![c.subject.clone()]
        };
        let mut out = Vec::new();
        for value in &all {
            out.push(Value::from(wrapped(&str_of(value)?)));
        }
        Ok(if is_seq(&c.subject) {
            listed(out)
        } else {
            out.pop().unwrap_or_default()
        })
    }),
    filter("nthhost", |c| {
        let [n] = c.bind(["query"])?;
        let n = int_or(Some(&need(n, "the number")?), 0, "the number")?;
        let net = network(&str_of(&c.subject)?).ok_or_else(|| fault("this is no network"))?;
        Ok(nth(&net.trunc(), n)
            .map_or_else(|| Value::from(false), |ip| Value::from(ip.to_string())))
    }),
    filter("ipsubnet", ip_subnet),
    filter("ipmath", |c| {
        let [n] = c.bind(["amount"])?;
        let n = int_or(Some(&need(n, "the amount")?), 0, "the amount")?;
        let ip: IpAddr = str_of(&c.subject)?
            .parse()
            .map_err(|_| fault("this is no IP address"))?;
        shifted(ip, n)
            .map(|ip| Value::from(ip.to_string()))
            .ok_or_else(|| fault("out of range"))
    }),
];

/// A URL's parts.
#[derive(Debug, Default)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    pub(crate) netloc: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) fragment: String,
}

/// Python's `urlsplit`.
pub(crate) fn split_url(text: &str) -> Url {
    let mut url = Url::default();
    let text = text.trim_start_matches(|c: char| c <= ' ');
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, '\n' | '\r' | '\t'))
        .collect();
    let mut rest = text.as_str();
    if let Some((scheme, tail)) = rest.split_once(':') {
        let legal = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if legal {
            url.scheme = scheme.to_ascii_lowercase();
            rest = tail;
        }
    }
    if let Some(tail) = rest.strip_prefix("//") {
        let end = tail.find(['/', '?', '#']).unwrap_or(tail.len());
        tail[..end].clone_into(&mut url.netloc);
        rest = &tail[end..];
    }
    if let Some((head, fragment)) = rest.split_once('#') {
        fragment.clone_into(&mut url.fragment);
        rest = head;
    }
    if let Some((head, query)) = rest.split_once('?') {
        query.clone_into(&mut url.query);
        rest = head;
    }
    rest.clone_into(&mut url.path);
    url
}

fn urlsplit(c: &mut Call<'_, '_>) -> Res<Value> {
    let [query] = c.bind(["query"])?;
    let query = text_or(query.as_ref(), "", "the component")?;
    let url = split_url(&text(&c.subject, "the URL")?);
    let (user, host) = match url.netloc.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, url.netloc.as_str()),
    };
    let (name, password) = match user.and_then(|u| u.split_once(':')) {
        Some((name, password)) => (Some(name), Some(password)),
        None => (user, None),
    };
    let (hostname, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((host, tail)) => (host, tail.strip_prefix(':')),
        None => host
            .split_once(':')
            .map_or((host, None), |(h, p)| (h, Some(p))),
    };
    let none = || Value::from(());
    let port = match port {
        Some(port) if !port.is_empty() => Value::from(
            port.parse::<u16>()
                .map_err(|_| fault(format!("the port '{port}' is no number")))?,
        ),
        _ => none(),
    };
    let opt = |text: Option<&str>| text.map_or_else(none, Value::from);
    let parts = [
        ("fragment", Value::from(url.fragment.as_str())),
        (
            "hostname",
            opt(Some(hostname)
                .filter(|h| !h.is_empty())
                .map(str::to_lowercase)
                .as_deref()),
        ),
        ("netloc", Value::from(url.netloc.as_str())),
        ("password", opt(password)),
        ("path", Value::from(url.path.as_str())),
        ("port", port),
        ("query", Value::from(url.query.as_str())),
        ("scheme", Value::from(url.scheme.as_str())),
        ("username", opt(name)),
    ];
    if query.is_empty() {
        return Ok(Value::from_pairs(parts));
    }
    parts
        .into_iter()
        .find(|(name, _)| *name == query)
        .map(|(_, value)| value)
        .ok_or_else(|| fault(format!("unknown URL component: {query}")))
}

fn wrapped(text: &str) -> String {
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(a, p)| (a, Some(p)));
    match (address.parse::<Ipv6Addr>(), prefix) {
        (Ok(ip), Some(prefix)) => format!("[{ip}]/{prefix}"),
        (Ok(ip), None) => format!("[{ip}]"),
        _ => text.to_owned(),
    }
}

/// An address, with or without prefix or netmask.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(net);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(IpNet::from(ip));
    }
    let (ip, mask) = text.split_once('/')?;
    IpNet::with_netmask(ip.parse().ok()?, mask.parse().ok()?).ok()
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn address(n: u128, like: IpAddr) -> Option<IpAddr> {
    match like {
        IpAddr::V4(_) => u32::try_from(n).ok().map(|n| IpAddr::V4(Ipv4Addr::from(n))),
        IpAddr::V6(_) => Some(IpAddr::V6(Ipv6Addr::from(n))),
    }
}

fn shifted(ip: IpAddr, by: i128) -> Option<IpAddr> {
    let n = number(ip);
    let n = if by < 0 {
        n.checked_sub(by.unsigned_abs())?
    } else {
        n.checked_add(by.unsigned_abs())?
    };
    address(n, ip)
}

/// How many addresses a network has.
fn size(net: &IpNet) -> u128 {
    1_u128
        .checked_shl(u32::from(net.max_prefix_len() - net.prefix_len()))
        .unwrap_or(u128::MAX)
}

/// The n-th address of a network, from either end.
fn nth(net: &IpNet, n: i128) -> Option<IpAddr> {
    let n = if n < 0 {
        size(net).checked_sub(n.unsigned_abs())?
    } else {
        n.unsigned_abs()
    };
    if n >= size(net) {
        return None;
    }
    address(number(net.network()) + n, net.network())
}

fn addresses(c: &mut Call<'_, '_>, family: Option<u8>) -> Res<Value> {
    let [query, version, _alias] = c.bind(["query", "version", "alias"])?;
    let family = match version {
        Some(v) if !v.is_none() && v.is_true() => as_int(&v).and_then(|n| u8::try_from(n).ok()),
        _ => family,
    };
    let query = match &query {
        Some(query) => str_of(query)?,
        None => String::new(),
    };
    if !is_seq(&c.subject) {
        return one(&c.subject, &query, family);
    }
    // Of a list, what is an address and answers the query.
    let mut out = Vec::new();
    for value in items(&c.subject)? {
        let found = one(&value, &query, family)?;
        if found.is_true() {
            out.push(found);
        }
    }
    Ok(data::list(out))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

fn one(value: &Value, query: &str, family: Option<u8>) -> Res<Value> {
    let no = Value::from(false);
    if kind_is_flag(value) {
        return Ok(no);
    }
    let given = match as_int(value) {
        Some(n) => u32::try_from(n)
            .map(|n| Ipv4Addr::from(n).to_string())
            .unwrap_or_default(),
        None => str_of(value)?,
    };
    let Some(net) = network(&given) else {
        return Ok(no);
    };
    let v4 = matches!(net, IpNet::V4(_));
    if family.is_some_and(|family| (family == 4) != v4) {
        return Ok(no);
    }
    let host = net.prefix_len() == net.max_prefix_len();
    let has_prefix = given.contains('/');
    let is_network = net.addr() == net.network() && !host;
    let text = |ip: IpAddr| Value::from(ip.to_string());
    let with_prefix = |ip: IpAddr| Value::from(format!("{ip}/{}", net.prefix_len()));
    // What is an address but does not answer the query is nothing; what is none is false.
    let when = |yes: bool, value: Value| if yes { value } else { Value::from(()) };
    let edge = |n: i128| nth(&net.trunc(), n).map_or(Value::from(false), text);
    let small = net.max_prefix_len() - net.prefix_len() < 2;
    Ok(match query {
        "bool" => Value::from(true),
        "" => Value::from(given.as_str()),
        "address" | "ip" => when(!is_network || host, text(net.addr())),
        "host" => when(
            !is_network || host,
            Value::from(format!("{}/{}", net.addr(), net.prefix_len())),
        ),
        "net" => when(is_network, Value::from(net.to_string())),
        "network" | "network_id" => text(net.network()),
        "subnet" | "network/prefix" => Value::from(net.trunc().to_string()),
        "cidr" | "host/prefix" => when(!is_network, Value::from(net.to_string())),
        "address/prefix" | "hostnet" | "gateway/prefix" | "gw/prefix" | "router/prefix" => {
            when(has_prefix && !is_network, with_prefix(net.addr()))
        }
        "prefix" => Value::from(net.prefix_len()),
        "netmask" => text(net.netmask()),
        "hostmask" | "wildcard" => text(net.hostmask()),
        "broadcast" => match net {
            IpNet::V4(net) if net.prefix_len() < 31 => text(IpAddr::V4(net.broadcast())),
            _ => no,
        },
        "size" => data::int(i128::try_from(size(&net)).unwrap_or(i128::MAX)),
        "first_usable" => {
            if small {
                edge(0)
            } else {
                edge(1)
            }
        }
        "last_usable" => {
            if small {
                edge(-1)
            } else {
                edge(-2)
            }
        }
        "next_usable" => when(
            !small,
            shifted(net.addr(), 1)
                .filter(|ip| net.contains(ip) && Some(*ip) != nth(&net.trunc(), -1))
                .map_or(Value::from(false), text),
        ),
        "range_usable" => Value::from(format!(
            "{}-{}",
            edge(i128::from(!small)),
            edge(if small { -1 } else { -2 })
        )),
        "int" => data::int(i128::try_from(number(net.addr())).unwrap_or(i128::MAX)),
        "version" => Value::from(if v4 { 4 } else { 6 }),
        "type" => Value::from(if is_network { "network" } else { "address" }),
        "ipv4" | "v4" | "4" => when(v4, Value::from(given.as_str())),
        "ipv6" | "v6" | "6" => when(!v4, Value::from(given.as_str())),
        "private" => when(is_private(net.addr()), Value::from(given.as_str())),
        "public" => when(
            !is_private(net.addr()) && !net.addr().is_multicast() && !net.addr().is_unspecified(),
            Value::from(given.as_str()),
        ),
        "loopback" | "lo" => when(net.addr().is_loopback(), Value::from(given.as_str())),
        "multicast" => when(net.addr().is_multicast(), Value::from(given.as_str())),
        "link-local" => when(
            match net.addr() {
                IpAddr::V4(ip) => ip.is_link_local(),
                IpAddr::V6(ip) => ip.is_unicast_link_local(),
            },
            Value::from(given.as_str()),
        ),
        "wrap" => Value::from(wrapped(&given)),
        "revdns" => Value::from(reverse_name(net.addr())),
        query => {
            if let Ok(n) = query.parse::<i128>() {
                return Ok(nth(&net.trunc(), n).map_or(no, with_prefix));
            }
            // A network to be inside of.
            match network(query) {
                Some(outer) => when(outer.contains(&net), Value::from(given.as_str())),
                None => {
                    return Err(fault(format!("unknown query '{query}'")));
                }
            }
        }
    })
}

fn kind_is_flag(value: &Value) -> bool {
    matches!(data::kind(value), data::Kind::Bool | data::Kind::None)
}

fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(ip) => {
            let digits: Vec<String> = format!("{:032x}", u128::from(ip))
                .chars()
                .rev()
                .map(String::from)
                .collect();
            format!("{}.ip6.arpa.", digits.join("."))
        }
    }
}

/// `ipsubnet(prefix, index)`: of a network how many smaller ones, or which one; of an address the networks it is in.
fn ip_subnet(c: &mut Call<'_, '_>) -> Res<Value> {
    let [prefix, index] = c.bind(["query", "index"])?;
    let Some(net) = network(&str_of(&c.subject)?) else {
        return Ok(Value::from(false));
    };
    let Some(prefix) = prefix.filter(Value::is_true) else {
        return Ok(Value::from(net.trunc().to_string()));
    };
    let prefix = u8::try_from(int_or(Some(&prefix), 0, "the prefix")?)
        .ok()
        .filter(|p| *p <= net.max_prefix_len())
        .ok_or_else(|| fault("the prefix is out of range"))?;
    let alone = net.prefix_len() == net.max_prefix_len();
    let Some(index) = index.filter(|i| !i.is_none()) else {
        if alone {
            let found = IpNet::new(net.addr(), prefix);
            return Ok(found.map_or(Value::from(false), |n| Value::from(n.trunc().to_string())));
        }
        let count = 1_u128
            .checked_shl(u32::from(prefix.saturating_sub(net.prefix_len())))
            .unwrap_or(0);
        return Ok(Value::from(count.to_string()));
    };
    let index = int_or(Some(&index), 0, "the index")?;
    if alone {
        // From the prefix down to two addresses, counted from either end.
        let all = i128::from(net.max_prefix_len()) - i128::from(prefix);
        let n = if index < 0 { index + all } else { index };
        let prefix = u8::try_from(i128::from(prefix) + n)
            .ok()
            .filter(|_| (0..all).contains(&n));
        let found = prefix.and_then(|p| IpNet::new(net.addr(), p).ok());
        return Ok(found.map_or(Value::from(false), |n| Value::from(n.trunc().to_string())));
    }
    let whole = net.trunc();
    let step = 1_u128 << (whole.max_prefix_len() - prefix);
    let count = size(&whole) / step;
    let n = if index < 0 {
        count.checked_sub(index.unsigned_abs())
    } else {
        Some(index.unsigned_abs()).filter(|n| *n < count)
    };
    let found = n.and_then(|n| address(number(whole.network()) + n * step, whole.network()));
    Ok(match found {
        Some(IpAddr::V4(ip)) => {
            Ipv4Net::new(ip, prefix).map_or(Value::from(false), |n| Value::from(n.to_string()))
        }
        Some(IpAddr::V6(ip)) => {
            Ipv6Net::new(ip, prefix).map_or(Value::from(false), |n| Value::from(n.to_string()))
        }
        None => Value::from(false),
    })
}
