//! Parses the syntax of a command, such as `key [EX seconds|KEEPTTL] [field ...]`, for COMMAND DOCS.

use crate::protocol::resp::encoder::RespEncoder;

/// One argument of a command.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    name: String,
    /// The literal word before it.
    token: Option<String>,
    optional: bool,
    multiple: bool,
    /// It is the word alone, without an argument after it.
    is_word: bool,
    /// The arguments it consists of: alternatives if `one_of`, otherwise a sequence.
    parts: Vec<Argument>,
    one_of: bool,
}

pub(super) fn parse(syntax: &str) -> Vec<Argument> {
    // Brackets and bars become words of their own.
    let spaced: String = syntax
        .chars()
        .map(|char| if "[]|".contains(char) { format!(" {char} ") } else { char.to_string() })
        .collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    sequence(&mut words.as_slice())
}

/// Parses a sequence, up to a closing bracket or the end.
fn sequence(words: &mut &[&str]) -> Vec<Argument> {
    let mut arguments: Vec<Argument> = Vec::new();
    while let Some((word, rest)) = words.split_first() {
        match *word {
            "]" => break,
            "|" => {
                *words = rest;
                let before = group(std::mem::take(&mut arguments));
                let mut choices = vec![before];
                match group(sequence(words)) {
                    Argument { one_of: true, parts, .. } => choices.extend(parts),
                    choice => choices.push(choice),
                }
                let name = choices.iter().map(|choice| choice.name.as_str()).collect::<Vec<_>>().join("-or-");
                return vec![Argument { name, parts: choices, one_of: true, ..Argument::default() }];
            }
            "[" => {
                *words = rest;
                let inner = sequence(words);
                *words = words.get(1..).unwrap_or_default();
                optional(&mut arguments, inner);
            }
            "..." => {
                *words = rest;
                arguments.iter_mut().for_each(|argument| argument.multiple = true);
            }
            word => {
                *words = rest;
                arguments.push(plain(word, words));
            }
        }
    }
    arguments
}

/// Parses a word: an argument, or a token with the argument after it, if any.
fn plain(word: &str, rest: &mut &[&str]) -> Argument {
    let is_token = |word: &str| word.chars().all(|char| char.is_ascii_uppercase() || char == '-');
    if !is_token(word) {
        return Argument { name: word.to_owned(), ..Argument::default() };
    }
    let token = Some(word.to_owned());
    match rest.split_first() {
        Some((next, after)) if !["[", "]", "|", "..."].contains(next) && !is_token(next) => {
            *rest = after;
            Argument { name: (*next).to_owned(), token, ..Argument::default() }
        }
        _ => Argument { name: word.to_ascii_lowercase(), token, is_word: true, ..Argument::default() },
    }
}

/// Adds the arguments in brackets. `[key ...]` after `key` makes that argument repeatable.
fn optional(arguments: &mut Vec<Argument>, inner: Vec<Argument>) {
    let names = |arguments: &[Argument]| arguments.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    let before = arguments.len().saturating_sub(inner.len());
    if !inner.is_empty() && names(&arguments[before..]) == names(&inner) && inner[0].multiple {
        let repeated = arguments.split_off(before);
        arguments.push(Argument { multiple: true, ..group(repeated) });
        return;
    }
    arguments.push(Argument { optional: true, ..group(inner) });
}

/// Groups several arguments into one.
fn group(mut arguments: Vec<Argument>) -> Argument {
    if arguments.len() == 1 {
        return arguments.remove(0);
    }
    let multiple = arguments.iter().any(|argument| argument.multiple);
    arguments.iter_mut().for_each(|argument| argument.multiple = false);
    let name = arguments.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join("-");
    Argument { name, parts: arguments, multiple, ..Argument::default() }
}

/// Writes arguments as COMMAND DOCS shows them.
pub(super) fn write(encoder: &mut RespEncoder<'_>, arguments: &[Argument]) {
    encoder.array(arguments.len());
    for argument in arguments {
        let kind = match argument {
            Argument { one_of: true, .. } => "oneof",
            Argument { parts, .. } if !parts.is_empty() => "block",
            Argument { is_word: true, .. } => "pure-token",
            Argument { name, .. } => match name.as_str() {
                "key" | "newkey" | "source" | "destination" => "key",
                "pattern" => "pattern",
                "seconds" | "milliseconds" | "cursor" | "count" | "index" | "numfields" | "increment"
                | "decrement" | "offset" | "start" | "end" | "numreplicas" | "timeout" => "integer",
                _ => "string",
            },
        };
        let flags: Vec<&str> = [(argument.optional, "optional"), (argument.multiple, "multiple")]
            .into_iter()
            .filter_map(|(is_set, flag)| is_set.then_some(flag))
            .collect();
        let fields = [argument.token.is_some(), !flags.is_empty(), !argument.parts.is_empty()];
        encoder.map(3 + fields.iter().filter(|there| **there).count());
        for (field, value) in
            [("name", argument.name.as_str()), ("type", kind), ("display_text", &argument.name)]
        {
            encoder.bulk(field.as_bytes());
            encoder.bulk(value.as_bytes());
        }
        if let Some(token) = &argument.token {
            encoder.bulk(b"token");
            encoder.bulk(token.as_bytes());
        }
        if !flags.is_empty() {
            encoder.bulk(b"flags");
            encoder.set(flags.len());
            flags.iter().for_each(|flag| encoder.simple_string(flag));
        }
        if !argument.parts.is_empty() {
            encoder.bulk(b"arguments");
            write(encoder, &argument.parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::buffers::ReplyBuffer;

    /// Arguments in a short notation.
    fn shown(arguments: &[Argument]) -> String {
        let show = |argument: &Argument| {
            let inside = shown(&argument.parts);
            let token = argument.token.as_ref().map(|token| format!("{token}=")).unwrap_or_default();
            let name = match (argument.parts.is_empty(), argument.one_of) {
                (true, _) => argument.name.clone(),
                (false, true) => format!("one({inside})"),
                (false, false) => format!("all({inside})"),
            };
            let (optional, multiple) = (argument.optional, argument.multiple);
            format!("{token}{name}{}{}", if optional { "?" } else { "" }, if multiple { "*" } else { "" })
        };
        arguments.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_word_with_an_argument_has_the_type_of_the_argument() {
        let mut bytes = ReplyBuffer::default();
        let mut encoder = RespEncoder::new(&mut bytes, Default::default());
        write(&mut encoder, &parse("[COUNT count] [TYPE type] [REPLACE]"));
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        for (name, kind) in [("count", "integer"), ("type", "string"), ("replace", "pure-token")] {
            let described = [name, "type", kind].map(|word| format!("${}\r\n{word}\r\n", word.len()));
            assert!(text.contains(&described.concat()), "{text}");
        }
    }

    #[test]
    fn syntax_becomes_arguments() {
        for (syntax, arguments) in [
            ("", ""),
            ("key field", "key field"),
            ("key [key ...]", "key*"),
            ("key field value [field value ...]", "key all(field value)*"),
            ("[message]", "message?"),
            ("[section [section ...]]", "section?*"),
            ("[ASYNC|SYNC]", "one(ASYNC=async SYNC=sync)?"),
            ("cursor [MATCH pattern] [COUNT count]", "cursor MATCH=pattern? COUNT=count?"),
            (
                "key [EX seconds|PX milliseconds|KEEPTTL]",
                "key one(EX=seconds PX=milliseconds KEEPTTL=keepttl)?",
            ),
            ("ON|OFF|SKIP", "one(ON=on OFF=off SKIP=skip)"),
        ] {
            assert_eq!(shown(&parse(syntax)), arguments, "{syntax}");
        }
    }
}
