//! The table of formats: a file for each family of models, and a line here.
//!
//! A template is of the first format that knows it, so what is special comes before what is common.

use super::spec::Spec;

macro_rules! formats {
    ($($module:ident :: $spec:ident),* $(,)?) => {
        /// All formats; the last is of every template.
        pub(super) static FORMATS: &[&Spec] = &[$(&$module::$spec),*];
    };
}

mod apertus;
mod apriel;
mod command_r;
mod command_r_plus;
mod deepseek;
mod dsml;
mod firefunction;
mod function_gemma;
mod functionary;
mod functionary_v3;
mod gemma;
mod gemma4;
mod generic;
mod gigachat;
mod gigachat_v31;
mod glm;
mod granite;
mod harmony;
mod hermes;
mod kimi_k2;
mod kimi_k3;
mod lfm2;
mod llama;
mod llama_pythonic;
mod minicpm;
mod minimax_m2;
mod minimax_m3;
mod mistral;
mod muse;
mod nemotron;
mod qwen_coder;
mod seed_oss;

formats![
    harmony::SPEC,
    muse::SPEC,
    functionary_v3::SPEC,
    kimi_k3::SPEC,
    kimi_k2::SPEC,
    minimax_m3::SPEC,
    minimax_m2::SPEC,
    dsml::SPEC,
    deepseek::SPEC,
    gemma4::SPEC,
    function_gemma::SPEC,
    command_r::SPEC,
    command_r_plus::SPEC,
    apertus::SPEC,
    nemotron::SPEC,
    seed_oss::SPEC,
    lfm2::SPEC,
    granite::SPEC,
    firefunction::SPEC,
    gigachat_v31::SPEC,
    gigachat::SPEC,
    mistral::SPEC,
    mistral::LIST,
    glm::SPEC,
    minicpm::SPEC,
    qwen_coder::SPEC,
    functionary::SPEC,
    llama_pythonic::SPEC,
    apriel::SPEC,
    hermes::SPEC,
    llama::SPEC,
    gemma::SPEC,
    generic::SPEC,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = FORMATS.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FORMATS.len());
    }

    #[test]
    fn no_marker_is_the_beginning_of_another() {
        for spec in FORMATS {
            let thinking = spec.thinking.iter();
            let mut marks: Vec<&str> = thinking.clone().map(|thinking| thinking.open).collect();
            marks.extend(thinking.flat_map(|thinking| thinking.close));
            marks.extend(spec.silent);
            marks.extend(spec.calls.frames);
            marks.extend(spec.calls.openings.iter().map(|opening| opening.mark));
            marks.extend(spec.calls.closings);
            if let Some(headers) = &spec.headers {
                marks.extend(headers.start);
                marks.extend(headers.message_ends);
            }
            for (at, mark) in marks.iter().enumerate() {
                let other =
                    marks.iter().enumerate().find(|(other, text)| *other != at && text.starts_with(mark));
                assert_eq!(other, None, "{}: {mark}", spec.name);
            }
        }
    }
}
