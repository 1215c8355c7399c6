//! Made-up text in several scripts.

use crate::random::Random;

/// A language: its tag, its words, and what stands between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Language {
    pub(crate) tag: &'static str,
    words: &'static [&'static str],
    space: &'static str,
    stop: &'static str,
}

/// The language of a text, the frequent ones more often.
pub(crate) fn language(random: &mut Random) -> Language {
    *random.weighted(&[
        (46, &ENGLISH),
        (16, &JAPANESE),
        (12, &PORTUGUESE),
        (10, &DANISH),
        (8, &RUSSIAN),
        (8, &ARABIC),
    ])
}

/// Writes this many words, with marks, breaks and emoji between them.
pub(crate) fn sentence(random: &mut Random, language: Language, words: u64) -> String {
    let mut text = String::new();
    for number in 0..words {
        if number > 0 {
            let space = random.weighted(&[
                (84, language.space),
                (8, ", "),
                (5, language.stop),
                (2, "\n"),
                (1, " \"…\" "),
            ]);
            text.push_str(space);
        }
        text.push_str(language.words[random.index(language.words.len())]);
    }
    if random.percent(22) {
        text.push(' ');
        text.push_str(random.pick(&EMOJI));
    }
    text
}

/// A word that may stand in a host name.
pub(crate) fn name(random: &mut Random) -> &'static str {
    random.pick(&NAMES)
}

/// A hashtag without its mark.
pub(crate) fn tag(random: &mut Random) -> &'static str {
    random.pick(&[
        "søndagstur",
        "photography",
        "猫",
        "кофе",
        "قراءة",
        "rustlang",
        "caturday",
    ])
}

const NAMES: [&str; 40] = [
    "amber", "birk", "cedar", "dusk", "ember", "fjord", "grove", "heron", "inlet", "juniper",
    "kelp", "lark", "moss", "nordlys", "otter", "plum", "quill", "reed", "sorrel", "thistle",
    "umber", "vale", "willow", "yarrow", "zephyr", "alder", "brook", "clover", "drift", "elm",
    "fern", "gale", "hazel", "iris", "jasper", "kite", "linden", "maple", "nettle", "oak",
];

const EMOJI: [&str; 14] = [
    "😀",
    "🎉",
    "👍🏽",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "❤️‍🔥",
    "🧑🏿‍🚀",
    "🇩🇰",
    "🐈‍⬛",
    "☕️",
    "✨",
    "🫠",
    "👨‍💻",
    "🌊",
];

const ENGLISH: Language = Language {
    tag: "en",
    words: &[
        "the",
        "a",
        "morning",
        "coffee",
        "rain",
        "again",
        "someone",
        "left",
        "window",
        "open",
        "and",
        "train",
        "was",
        "late",
        "but",
        "nobody",
        "minded",
        "because",
        "there",
        "were",
        "geese",
        "on",
        "platform",
        "I",
        "think",
        "we",
        "should",
        "all",
        "read",
        "more",
        "books",
        "about",
        "mushrooms",
        "honestly",
        "this",
        "soup",
        "isn't",
        "bad",
        "new",
        "bridge",
        "looks",
        "wonderful",
        "at",
        "night",
        "who",
        "knew",
        "that",
        "small",
        "gardens",
        "grow",
        "so",
        "fast",
        "<3",
        "Q&A",
        "today",
        "naïve",
        "café",
        "yes",
        "no",
        "maybe",
        "ten o'clock",
    ],
    space: " ",
    stop: ". ",
};

const DANISH: Language = Language {
    tag: "da",
    words: &[
        "rødgrød",
        "med",
        "fløde",
        "på",
        "en",
        "blæsende",
        "dag",
        "i",
        "Ærøskøbing",
        "vi",
        "cyklede",
        "over",
        "åen",
        "og",
        "så",
        "småkager",
        "hvad",
        "synes",
        "du",
        "om",
        "køen",
        "ved",
        "bageren",
        "øl",
        "efter",
        "arbejde",
        "hyggeligt",
        "nok",
        "men",
        "også",
        "lidt",
        "for",
        "koldt",
        "måske",
        "næste",
        "år",
        "ål",
        "blå",
        "himmel",
        "æbler",
    ],
    space: " ",
    stop: ". ",
};

const PORTUGUESE: Language = Language {
    tag: "pt",
    words: &[
        "amanhã",
        "não",
        "vou",
        "à",
        "praia",
        "porque",
        "chove",
        "coração",
        "pão",
        "de",
        "queijo",
        "saudade",
        "você",
        "já",
        "viu",
        "o",
        "jogo",
        "ontem",
        "que",
        "beleza",
        "a",
        "gente",
        "conversa",
        "depois",
        "é",
        "isso",
        "mesmo",
        "boa",
        "noite",
        "avó",
        "música",
        "ônibus",
    ],
    space: " ",
    stop: ". ",
};

const JAPANESE: Language = Language {
    tag: "ja",
    words: &[
        "今日は",
        "雨が",
        "降って",
        "いました",
        "駅前の",
        "喫茶店で",
        "コーヒーを",
        "飲みながら",
        "本を",
        "読んだ",
        "猫が",
        "窓の",
        "外を",
        "見ている",
        "とても",
        "静かな",
        "朝",
        "ありがとう",
        "また",
        "明日",
        "桜が",
        "咲き",
        "始めた",
        "らしい",
        "ラーメン",
        "食べたい",
        "㍿",
        "ｶﾅ",
    ],
    space: "",
    stop: "。",
};

const RUSSIAN: Language = Language {
    tag: "ru",
    words: &[
        "сегодня",
        "опять",
        "дождь",
        "и",
        "мы",
        "пьём",
        "чай",
        "на",
        "кухне",
        "кот",
        "спит",
        "под",
        "столом",
        "а",
        "завтра",
        "поедем",
        "за",
        "город",
        "если",
        "поезд",
        "не",
        "опоздает",
        "как",
        "обычно",
        "ёлка",
        "объявление",
        "хорошо",
        "что",
        "есть",
        "книги",
    ],
    space: " ",
    stop: ". ",
};

const ARABIC: Language = Language {
    tag: "ar",
    words: &[
        "صباح",
        "الخير",
        "اليوم",
        "قرأت",
        "كتابا",
        "عن",
        "البحر",
        "والقهوة",
        "كانت",
        "ساخنة",
        "في",
        "المقهى",
        "القديم",
        "ثم",
        "مشينا",
        "إلى",
        "السوق",
        "مع",
        "الأصدقاء",
        "وعدنا",
        "مساء",
        "جميل",
        "جدا",
        "شكرا",
        "لكم",
    ],
    space: " ",
    stop: "؟ ",
};
