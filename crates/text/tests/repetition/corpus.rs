//! Documents that repeat themselves and are as they should be: none of them is a loop.
//!
//! They are written down by code, the way their authors would describe them. What is a list of lines has some dozens,
//! and what consists of a few symbols only has a few hundred: more than that cannot be told from a loop.

/// All documents, each with its name.
pub(crate) fn documents() -> Vec<(&'static str, String)> {
    [tables(), numbers(), codes(), markup(), programs(), songs(), drawings(), other_scripts()].concat()
}

/// Numbers in no order, always the same.
fn random(i: u64) -> u64 {
    i.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40
}

/// A line for each number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|i| line(i) + "\n").collect()
}

fn tables() -> Vec<(&'static str, String)> {
    let empty_row = "| | | | |";
    vec![
        ("a table with four columns", {
            let rows = lines(30, |i| format!("| item {i} | {} | {} | yes |", i * 3, i % 4));
            format!("| Name | Price | Count | Stock |\n|------|-------|-------|-------|\n{rows}")
        }),
        ("an empty table with four columns", {
            format!(
                "| Mon | Tue | Wed | Thu |\n| --- | --- | --- | --- |\n{}",
                lines(30, |_| empty_row.to_owned())
            )
        }),
        ("the separator of a table with forty columns", format!("|{}\n", " --- |".repeat(40))),
        ("an aligned separator", format!("|{}\n", ":---:|".repeat(30))),
        ("a table of yes and no", lines(40, |i| format!("| {i} | yes | no | yes |"))),
        ("a table whose cells say the same", lines(16, |_| "| n/a | n/a | n/a | n/a |".to_owned())),
        ("boxes of ASCII", lines(12, |_| "+------+------+------+\n|      |      |      |".to_owned())),
        ("tab separated blanks", lines(25, |_| "\t\t\t\t".to_owned())),
        ("CSV with a repeated country", lines(40, |i| format!("{},Germany,Berlin,EUR,{}", 1000 + i, i * i))),
        ("a timetable", lines(24, |i| format!("{i:02}:00  platform 4  all stations"))),
    ]
}

fn numbers() -> Vec<(&'static str, String)> {
    let row = |values: usize| vec!["0"; values].join(",");
    vec![
        ("CSV of zeros", lines(25, |_| row(8))),
        ("a matrix of zeros", format!("[{}]", vec![format!("[{}]", ["0"; 8].join(", ")); 12].join(",\n "))),
        ("a matrix of zeros with decimals", lines(10, |_| ["0.0"; 8].join(" "))),
        (
            "an identity matrix",
            lines(16, |i| (0..16).map(|j| if i == j { "1 " } else { "0 " }).collect::<String>()),
        ),
        ("a hundred ones", "1 ".repeat(100)),
        ("a multiplication table", lines(12, |i| (1..=12).map(|j| format!("{:4}", (i + 1) * j)).collect())),
        ("multiplications", lines(50, |i| format!("7 x {i} = {}", 7 * i))),
        ("the numbers up to 200", (1..=200).map(|i| format!("{i}, ")).collect()),
        ("digits of a third", format!("1/3 = 0.{}...", "3".repeat(200))),
        ("digits of a seventh", format!("1/7 = 0.{}...", "142857".repeat(40))),
        ("powers of ten", lines(30, |i| format!("1{}", "0".repeat(i)))),
        ("a bit pattern", format!("0b{}", "01".repeat(120))),
        ("dice", (0..300).map(|i| format!("{} ", 1 + random(i) % 6)).collect()),
    ]
}

fn codes() -> Vec<(&'static str, String)> {
    vec![
        ("base64 of zeros", format!("{}==", "A".repeat(400))),
        (
            "base64",
            (0..200)
                .map(|i| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[random(i) as usize % 32]))
                .collect(),
        ),
        (
            "a hex dump of zeros",
            lines(16, |i| format!("{:08x}: {} ................", i * 16, ["0000"; 8].join(" "))),
        ),
        (
            "a hex dump",
            lines(20, |i| format!("{:08x}: {:06x} {:06x}", i * 16, random(i as u64), random(7 * i as u64))),
        ),
        ("an all-zero hash", "0".repeat(64) + "\n" + &"0".repeat(64)),
        ("DNA", (0..300).map(|i| char::from(b"ACGT"[random(i) as usize % 4])).collect()),
        ("DNA with a repeat", format!("ACGTTGCA{}TTGACA", "CAG".repeat(60))),
        ("chess moves", lines(40, |i| format!("{}. Nf{} Nc{}", i + 1, 3 - i % 2 * 2, 6 + i % 2 * 2))),
        ("a UUID of zeros, ten times", lines(10, |_| "00000000-0000-0000-0000-000000000000".to_owned())),
        ("a percent-encoded text", "%20".repeat(60)),
        ("escaped line breaks", "\\n".repeat(80)),
        ("morse code", "... --- ... ".repeat(12)),
    ]
}

fn markup() -> Vec<(&'static str, String)> {
    vec![
        ("rulers", lines(25, |i| format!("---\n\nPart {}\n", i + 1))),
        ("one ruler below the other", lines(60, |_| "---".to_owned())),
        ("a long ruler", "-".repeat(500)),
        ("lines of equals signs", lines(12, |_| "=".repeat(80))),
        ("dotted leaders", lines(20, |i| format!("Chapter {} {} {}", i + 1, ". ".repeat(20), i * 11 + 3))),
        ("one line of dots", ".".repeat(400)),
        ("an HTML table without content", {
            format!("<table>\n{}</table>", lines(12, |_| "<tr><td></td><td></td><td></td></tr>".to_owned()))
        }),
        ("an HTML table", lines(30, |i| format!("<tr><td>{i}</td><td class=\"num\">{}</td></tr>", i * i))),
        ("closing tags", "</div>\n".repeat(30)),
        ("line breaks of HTML", "<br>".repeat(60)),
        ("spaces of HTML", "&nbsp;".repeat(50)),
        ("a JSON array of zeros", format!("[{}]", vec!["0"; 150].join(", "))),
        ("a JSON array of nulls", format!("[{}]", vec!["null"; 120].join(", "))),
        ("a JSON array of points", format!("[{}]", vec!["{\"x\": 0, \"y\": 0}"; 20].join(", "))),
        (
            "a JSON array of records",
            format!(
                "[{}]",
                (0..30)
                    .map(|i| format!("{{\"id\": {i}, \"name\": \"\", \"tags\": []}},\n"))
                    .collect::<String>()
            ),
        ),
        ("bullets", lines(40, |i| format!("- [ ] task {}", i + 1))),
        ("empty bullets", lines(40, |_| "- [ ]".to_owned())),
        ("a form to fill in", lines(12, |_| "Name: ____________________".to_owned())),
        (
            "a to be written in each section",
            lines(20, |i| format!("## Section {}\n\nTo be written.\n", i + 1)),
        ),
    ]
}

fn programs() -> Vec<(&'static str, String)> {
    vec![
        ("a line of code again and again", lines(20, |_| "    print(\"Hello, world!\")".to_owned())),
        ("an unrolled loop", lines(16, |_| "    x = x + 1;".to_owned())),
        ("assembly without effect", lines(40, |_| "    nop".to_owned())),
        ("closing braces", lines(12, |i| " ".repeat(4 * (12 - i)) + "}")),
        ("array members", lines(40, |i| format!("    data[{i}] = 0;"))),
        ("match arms", lines(26, |i| format!("        '{}' => {i},", char::from(b'a' + i as u8)))),
        (
            "log lines",
            lines(40, |i| {
                format!("2024-05-01T12:00:{i:02}Z INFO worker: request done in {} ms", i * 17 % 50)
            }),
        ),
        (
            "a log line that comes back",
            lines(6, |_| "[WARN] connection to 10.0.0.1 lost, trying again".to_owned()),
        ),
        ("progress", lines(50, |i| format!("progress: {}%", 2 * i + 2))),
        ("passed tests", lines(40, |i| format!("test case_{i} ... ok"))),
        (
            "dots of a test run",
            "................................................................\n".repeat(6),
        ),
        ("an import block", lines(20, |i| format!("import com.example.project.model.Type{i};"))),
        ("a switch with equal bodies", lines(20, |i| format!("    case {i}:\n        break;"))),
        ("SQL rows", lines(30, |i| format!("INSERT INTO t VALUES ({i}, 'none', NULL, 0);"))),
    ]
}

fn songs() -> Vec<(&'static str, String)> {
    let refrain = "Row, row, row your boat,\nGently down the stream,\nMerrily, merrily, merrily, merrily,\nLife is but a dream.\n\n";
    let bottles = |i: usize| {
        format!(
            "{i} bottles of beer on the wall, {i} bottles of beer.\nTake one down, pass it around, {} bottles of beer on the wall.\n",
            i - 1
        )
    };
    vec![
        ("ha, two hundred times", "ha ".repeat(200)),
        ("haha in one word", "ha".repeat(200)),
        ("ha with commas", "Ha, ".repeat(120)),
        ("a round sung three times", refrain.repeat(3)),
        ("bottles of beer", (1..=20).rev().map(bottles).collect()),
        ("na na na", format!("{}hey Jude\n", "Na na na ".repeat(3) + "na na na na, ").repeat(5)),
        ("la la la", "La la la la la\n".repeat(20)),
        (
            "a poem with a refrain",
            lines(8, |i| {
                format!(
                    "The wind of month {} is calling me,\nand far away I hear the sea,\nand far away I hear the sea.\n",
                    i + 1
                )
            }),
        ),
        ("a lesson for a bad boy", lines(25, |_| "I will not talk in class.".to_owned())),
        ("a litany", lines(20, |i| format!("From fear number {}, deliver us.\nHear us, we pray.", i + 1))),
        ("a crowd", "Hooray! ".repeat(60)),
        ("very much", format!("It was {}good.", "very ".repeat(60))),
        ("a scream", "A".repeat(200) + "!"),
        ("knock knock", "Knock, knock, knock. Penny! ".repeat(6)),
    ]
}

fn drawings() -> Vec<(&'static str, String)> {
    vec![
        ("a triangle of stars", lines(20, |i| "*".repeat(i + 1))),
        ("a square of stars", lines(16, |_| "* ".repeat(16))),
        (
            "a chessboard",
            lines(8, |i| if i % 2 == 0 { "# . # . # . # ." } else { ". # . # . # . #" }.to_owned()),
        ),
        ("a staircase", lines(20, |i| " ".repeat(2 * i) + "|_")),
        (
            "a wall of bricks",
            lines(14, |i| if i % 2 == 0 { "|___|___|___|___|" } else { "|_|___|___|___|_|" }.to_owned()),
        ),
        ("blank lines", "\n".repeat(100)),
        ("blanks", " ".repeat(300)),
        ("emoji", "🎉".repeat(40)),
        ("stars of reviews", lines(15, |i| format!("{}{}", "★".repeat(1 + i % 5), "☆".repeat(4 - i % 5)))),
    ]
}

fn other_scripts() -> Vec<(&'static str, String)> {
    vec![
        ("a Chinese couplet three times", "春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少。\n".repeat(3)),
        ("laughter in Chinese", "哈".repeat(100)),
        ("Chinese numbers", lines(30, |i| format!("第{}章　未完成", i + 1))),
        ("long vowels in Japanese", "あー".repeat(50)),
        ("a Chinese form", lines(12, |_| "姓名：＿＿＿＿＿＿".to_owned())),
        ("a prayer in Sanskrit", "ॐ शान्तिः ".repeat(9)),
        (
            "a Russian counting rhyme",
            lines(10, |i| format!("{} слон пошёл гулять, раз, два, три, четыре, пять.", i + 1)),
        ),
    ]
}
