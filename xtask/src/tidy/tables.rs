//! The three tables that carry the design: a file of a table's folder is a row of it, and README.md names it.

use super::repository::Repository;

struct Table {
    /// Where its files lie.
    folder: &'static str,
    /// Where its rows stand.
    list: &'static str,
    /// A file that has this is a row; others are helpers of the rows.
    mark: &'static str,
    /// How a row names its file, around the name.
    row: fn(name: &str) -> String,
    /// How a row begins to name itself, up to the quote.
    title: &'static str,
    /// The file or folder's files in which it does.
    titles: &'static str,
}

const TABLES: &[Table] = &[
    Table {
        folder: "crates/kernels/src/formats",
        list: "crates/kernels/src/formats.rs",
        mark: "TensorFormat",
        row: |name| format!("&{name}::FORMAT"),
        title: "name: \"",
        titles: "crates/kernels/src/formats/",
    },
    Table {
        folder: "crates/engine/src/models",
        list: "crates/engine/src/models.rs",
        mark: "fn load(",
        row: |name| format!("load: {name}::load"),
        title: "name: \"",
        titles: "crates/engine/src/models.rs",
    },
    Table {
        folder: "crates/kernels/src/simd",
        list: "crates/kernels/src/simd.rs",
        mark: "unsafe impl Simd for",
        row: |name| format!("mod {name};"),
        title: "=> \"",
        titles: "crates/kernels/src/isa.rs",
    },
];

/// Every file in a table's folder is a row of the table.
pub(super) fn tables_are_complete(repository: &Repository) -> Vec<String> {
    let mut problems = Vec::new();
    for table in TABLES {
        let list = repository.text(table.list).unwrap_or("");
        for (name, _) in repository.modules(table.folder).filter(|(_, text)| text.contains(table.mark)) {
            let row = (table.row)(name);
            if !list.contains(&row) {
                problems.push(format!("{}: {}/{name}.rs is no row: no {row:?}", table.list, table.folder));
            }
        }
    }
    problems
}

/// README.md names every row.
pub(super) fn rows_are_documented(repository: &Repository) -> Vec<String> {
    let readme = repository.text("README.md").unwrap_or("");
    let mut problems = Vec::new();
    for table in TABLES {
        for (path, text) in repository.texts(&[".rs"]).filter(|(path, _)| path.starts_with(table.titles)) {
            // Names in tests are made up.
            let text = text.split("#[cfg(test)]").next().unwrap_or(text);
            for after in text.split(table.title).skip(1) {
                let name = after.split('"').next().unwrap_or("");
                if !readme.contains(&format!("`{name}`")) {
                    problems.push(format!("README.md: no `{name}`, which is in a table: {path}"));
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [(&str, &str); 3] = [
        ("crates/kernels/src/formats.rs", "mod a; mod b; mod unpack; static TABLE = &[&a::FORMAT]"),
        ("crates/kernels/src/formats/a.rs", "static FORMAT: TensorFormat = TensorFormat { name: \"A_1\" }"),
        ("crates/kernels/src/formats/unpack.rs", "fn unpack() {}"),
    ];

    #[test]
    fn a_file_that_is_no_row_is_found() {
        assert_eq!(tables_are_complete(&Repository::of(&FORMATS)), [""; 0]);
        let more = [
            &FORMATS[..],
            &[
                ("crates/kernels/src/formats/b.rs", "TensorFormat"),
                ("crates/engine/src/models/c.rs", "fn load("),
            ],
        ];
        assert_eq!(
            tables_are_complete(&Repository::of(&more.concat())),
            [
                "crates/kernels/src/formats.rs: crates/kernels/src/formats/b.rs is no row: no \"&b::FORMAT\"",
                "crates/engine/src/models.rs: crates/engine/src/models/c.rs is no row: no \"load: c::load\""
            ]
        );
    }

    #[test]
    fn a_row_that_the_readme_does_not_name_is_found() {
        let with =
            |readme| rows_are_documented(&Repository::of(&[&FORMATS[..], &[("README.md", readme)]].concat()));
        assert_eq!(with("It reads `A_1`."), [""; 0]);
        assert_eq!(
            with("It reads A_10."),
            ["README.md: no `A_1`, which is in a table: crates/kernels/src/formats/a.rs"]
        );
    }
}
