//! Mistakes in the command line: exit code 2, and what would have worked.

use crate::kun::Scratch;

#[test]
fn mistakes_in_flags_and_arguments_exit_with_2_and_say_what_works() {
    let scratch = Scratch::new();
    let text = scratch.file("text.txt", "words");
    let text = text.to_str().expect("UTF-8");
    for (line, parts) in [
        (&["run", "--temprature", "1", "Hi"][..], &["'--temperature'", "see kun run --help"][..]),
        (&["inspct", "a.gguf"], &["'inspect'"]),
        (&["run", "--ctx", "0", "Hi"], &["--ctx", "16 to 1048576"]),
        (&["run", "--ctx", "-1", "Hi"], &["--ctx", "16 to 1048576"]),
        (&["run", "--ctx", "1000000000000", "Hi"], &["--ctx", "16 to 1048576"]),
        (&["run", "--ctx", "many", "Hi"], &["many", "16 to 1048576"]),
        (&["run", "--temperature", "-0.1", "Hi"], &["--temperature", "0 to 5"]),
        (&["run", "--temperature", "NaN", "Hi"], &["--temperature", "0 to 5"]),
        (&["run", "--top-k", "-1", "Hi"], &["--top-k", "0 to 1000000"]),
        (&["run", "--top-p", "0", "Hi"], &["--top-p", "above 0"]),
        (&["run", "--min-p", "2", "Hi"], &["--min-p", "0 to 1"]),
        (&["run", "--repeat-penalty", "0", "Hi"], &["--repeat-penalty", "0.1 to 10"]),
        (&["run", "--typical-p", "0", "Hi"], &["--typical-p", "0.001 to 1"]),
        (&["run", "--mirostat", "3", "Hi"], &["--mirostat", "0 to 2"]),
        (&["run", "--frequency-penalty", "-2.5", "Hi"], &["--frequency-penalty", "-2 to 2"]),
        (&["run", "--seed", "-1", "Hi"], &["--seed", "18446744073709551615"]),
        (&["run", "--max-tokens", "0", "Hi"], &["--max-tokens", "1 to 1048576"]),
        (&["run", "--threads", "0", "Hi"], &["--threads", "1 to 512"]),
        (&["run", "--threads", "100000", "Hi"], &["--threads", "1 to 512"]),
        (&["run", "--raw", "--system", "x", "Hi"], &["--raw", "--system"]),
        (&["run", "--model", "a.gguf", "b.gguf", "Hi"], &["two models"]),
        (&["run", "a", "b", "c"], &["'c'"]),
        (&["run", ""], &["the prompt is empty"]),
        (&["run"], &["the prompt is empty"]),
        (&["inspect"], &["<MODEL>", "see kun inspect --help"]),
        (&["inspect", "a.gguf", "--ctx", "15"], &["--ctx", "16 to 1048576"]),
        (&["template", "--messages", text], &["<MODEL>"]),
        (&["perplexity", "a.gguf"], &["<FILE>"]),
        (&["bench", "a.gguf", "--only", "pp511"], &["pp512, pp2048, tg128"]),
        (&["bench", "a.gguf", "--only", "pp512,tg129"], &["pp512, pp2048, tg128"]),
        (&["bench", "--only", "pp512"], &["<MODEL>", "see kun bench --help"]),
        (&["bench", "a.gguf", "--repeat", "0"], &["--repeat", "1..=100"]),
        (&["inspect", "smollm2:136m"], &["smollm2:136m", "smollm2:135m"]),
        (&["inspect", "hf:../../etc"], &["hf:../../etc"]),
        (&["rm", text], &["not a path"]),
    ] {
        let ended = scratch.run(line);
        assert_eq!(ended.code, Some(2), "{line:?}: {ended:?}");
        ended.fails(2, parts);
    }
}

#[test]
fn settings_in_the_environment_are_checked_like_flags() {
    let scratch = Scratch::new();
    let model = crate::vocabulary::write(&scratch, "small.gguf");
    let mut command = scratch.command(["run", "--model"]);
    command.arg(model).arg("Hi").env("KUN_ISA", "mmx");
    crate::kun::end(&mut command).fails(2, &["KUN_ISA", "mmx", "avx2"]);
}

#[test]
fn help_and_version_are_told_on_standard_output() {
    let scratch = Scratch::new();
    assert!(scratch.run(["--version"]).output().starts_with("kun "));
    let help = scratch.run(["--help"]).output();
    for command in [
        "run",
        "pull",
        "models",
        "rm",
        "inspect",
        "tokenize",
        "detokenize",
        "template",
        "perplexity",
        "bench",
        "load",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "no {command} in {help}");
        assert!(scratch.run([command, "--help"]).output().contains("Usage: kun"), "{command}");
    }
}

#[test]
fn no_command_is_a_mistake_that_gets_the_help() {
    let ended = Scratch::new().run([""; 0]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("perplexity"), "{ended:?}");
}
